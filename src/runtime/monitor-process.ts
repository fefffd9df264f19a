import { posix } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'

/** Where conmon, the parent of a container's first process, writes down its pid. */
export const monitorFile = (bundle: string): string => posix.join(bundle, 'conmon.pid')

/** What tells whether a process is still a container's monitor: proc_pid_cmdline(5), empty for a zombie. */
export const monitorEvidence = (monitor: number): string => `/proc/${monitor}/cmdline`

/**
 * The pid of a container's monitor while it lives; `null`: it has none. The pid that is written down may be a
 * stranger's by now: it counts only when it was told this container's id.
 */
export function livingMonitor(
  kernel: Pick<Kernel, 'readNow'>,
  { bundle, id }: { readonly bundle: string; readonly id: string },
): number | null {
  const pid = Number(kernel.readNow(monitorFile(bundle))?.trim())
  if (!Number.isSafeInteger(pid) || pid < 2) return null
  const words = kernel.readNow(monitorEvidence(pid))?.split('\0') ?? []
  return words[words.indexOf('--cid') + 1] === id ? pid : null
}
