import { PakError } from '../errors.ts'
import { insideRoot } from '../kernel/inside-root.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { CopyUp } from './mounts.ts'

export interface CopyUpRequest extends CopyUp {
  /** The mounted root of the container, in which nothing runs yet. */
  readonly rootfs: string
  readonly signal?: AbortSignal
}

const COPY_TIMEOUT_MS = 30 * 60_000
/** Replicas that share a volume start together: copies into one folder queue. */
const QUEUES = new WeakMap<Kernel, Map<string, Promise<void>>>()

/**
 * Fill an empty folder with what the root has at the target, the folder's own mode and owner included,
 * as Docker does. A copy that was cut off is done again.
 */
export function copyUp(kernel: Kernel, request: CopyUpRequest): Promise<void> {
  const queue = QUEUES.get(kernel) ?? new Map<string, Promise<void>>()
  QUEUES.set(kernel, queue)
  const { folder } = request
  const own = (queue.get(folder) ?? Promise.resolve()).then(() => copy(kernel, request))
  const settled = own
    .catch(() => {})
    .then(() => {
      if (queue.get(folder) === settled) queue.delete(folder)
    })
  queue.set(folder, settled)
  return own
}

async function copy(
  kernel: Kernel,
  { rootfs, target, folder, signal }: CopyUpRequest,
): Promise<void> {
  // It lies beside the folder while a copy is under way: content with a mark was never whole.
  const mark = `${folder}.copying`
  if (!(await kernel.exists(mark)) && (await kernel.list(folder)).length > 0) return
  const source = await insideRoot(kernel, rootfs, target)
  if (source === null || (await kernel.stat(source))?.kind !== 'folder') return
  await kernel.replaceFile(mark, '')
  // cp --archive never opens devices or FIFOs, and copies symlinks as such.
  const args = ['--archive', '--reflink=auto', '--one-file-system', '--', `${source}/.`, folder]
  const result = await kernel.run('cp', args, {
    timeoutMs: COPY_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  })
  if (result.exitCode !== 0)
    throw new PakError('storage', `copy \`${target}\` to its volume: ${result.stderr.trim()}`)
  await kernel.removeTree(mark)
}
