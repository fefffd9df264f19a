import { dirname } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'

const MEASURE_TIMEOUT_MS = 60_000

export interface VolumeUsage {
  /** As stat(1) names it, for example `ext2/ext3` or `xfs`. */
  readonly filesystem: string
  readonly usedBytes: number
}

/** `folder` is `<project>/<volume>/_data` in the folder of all volumes. One that is there stays as it is. */
export async function createVolume(kernel: Kernel, folder: string): Promise<void> {
  await kernel.makeFolder(folder, 0o755)
}

/** With all its content, and the project's folder when it was the last; already gone is success. */
export async function removeVolume(kernel: Kernel, folder: string): Promise<void> {
  await kernel.removeTree(dirname(folder))
  await kernel.removeFolder(dirname(dirname(folder)))
}

/** What is in the volume now; walks all of it. */
export async function volumeUsage(
  kernel: Kernel,
  folder: string,
  signal?: AbortSignal,
): Promise<VolumeUsage> {
  const options = { timeoutMs: MEASURE_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) }
  const [used, filesystem] = await Promise.all([
    kernel.run('du', ['--summarize', '--one-file-system', '--block-size=1', '--', folder], options),
    kernel.run('stat', ['--file-system', '--format=%T', '--', folder], options),
  ])
  // du goes on past what vanishes under it; the sum is then as good as it can be.
  const usedBytes = Number.parseInt(used.stdout, 10)
  if (!Number.isSafeInteger(usedBytes))
    throw new PakError('storage', `measure \`${folder}\`: ${used.stderr.trim()}`)
  return { filesystem: filesystem.stdout.trim(), usedBytes }
}
