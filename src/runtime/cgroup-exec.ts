import { posix } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'
import { processesOf } from './cgroup-kill.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { field } from './cgroup-text.ts'

/** A cgroup within a container's: what one `pak exec` started, and all that it left running. */
export interface ExecCgroup {
  readonly pids: readonly number[]
  /** What has ended in there is counted, too. */
  readonly cpuUsageUsec: number
}

const NAME = /^exec-[0-9a-f]{16}$/

/**
 * Makes one and returns its folder. No controller is handed down to it: so it may stand beside the container's own
 * processes (cgroup-v2.rst, "no internal process constraint"), what it uses is charged to the container, whose
 * limits, kills and freezes reach into it, and the kernel counts its CPU time nevertheless. Not for v1, where
 * whatever is made there would be a place of its own in each hierarchy, with limits.
 */
export async function makeExecCgroup(
  kernel: Kernel,
  mounts: CgroupMounts,
  { path, name }: { readonly path: string; readonly name: string },
): Promise<string> {
  for (const other of namesIn(kernel, mounts, path)) await removeUsed(kernel, mounts, other)
  const folder = pathIn(mounts, 'cpu', path, name)
  await kernel.makeFolder(folder)
  return folder
}

/** Those that somebody is in. */
export async function execCgroups(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<readonly ExecCgroup[]> {
  if (mounts.version === 1) return []
  const found: ExecCgroup[] = []
  for (const one of namesIn(kernel, mounts, path)) {
    const pids = await processesOf(kernel, mounts, one)
    if (pids.length > 0) found.push({ pids, cpuUsageUsec: usedIn(kernel, mounts, one) })
  }
  return found
}

function namesIn(kernel: Kernel, mounts: CgroupMounts, path: string): readonly string[] {
  const names = kernel.listNow(pathIn(mounts, 'cpu', path)).filter((name) => NAME.test(name))
  return names.map((name) => posix.join(path, name))
}

/** Where no time was spent yet, somebody may be on the way in; where somebody is, the kernel refuses. */
async function removeUsed(kernel: Kernel, mounts: CgroupMounts, path: string): Promise<void> {
  if (usedIn(kernel, mounts, path) > 0) await kernel.removeFolder(pathIn(mounts, 'cpu', path))
}

const usedIn = (kernel: Kernel, mounts: CgroupMounts, path: string): number =>
  field(kernel.readNow(pathIn(mounts, 'cpu', path, 'cpu.stat')) ?? '', 'usage_usec')
