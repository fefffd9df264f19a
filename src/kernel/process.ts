import type { Kernel } from './kernel.ts'

/** One process for good: a pid is reused, a pid with its start time is not. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot, field 22 of proc_pid_stat(5). */
  readonly startTicks: string
}

/** Of field 9 of proc_pid_stat(5), include/linux/sched.h. */
const PF_EXITING = 0x4

/** `null` when there is no such process, or it is a zombie. */
export async function identify(kernel: Kernel, pid: number): Promise<ProcessIdentity | null> {
  const found = look(kernel, pid)
  return found === null ? null : { pid, startTicks: found.startTicks }
}

export async function isAlive(kernel: Kernel, identity: ProcessIdentity): Promise<boolean> {
  return (await identify(kernel, identity.pid))?.startTicks === identity.startTicks
}

/** Alive, and not about to end: from then on its cgroup, mounts and network go before it does. */
export function staysAlive(kernel: Kernel, { pid, startTicks }: ProcessIdentity): boolean {
  const found = look(kernel, pid)
  return found !== null && found.startTicks === startTicks && !found.isExiting
}

/** Signal exactly this process, never a stranger that got its pid. False when it is gone. */
export async function signalProcess(
  kernel: Kernel,
  identity: ProcessIdentity,
  signal: NodeJS.Signals | number,
): Promise<boolean> {
  return (await isAlive(kernel, identity)) && kernel.kill(identity.pid, signal)
}

interface Look {
  readonly startTicks: string
  readonly isExiting: boolean
}

function look(kernel: Kernel, pid: number): Look | null {
  const stat = kernel.readNow(`/proc/${pid}/stat`)
  if (stat === null) return null
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state] = fields
  const startTicks = fields[19]
  if (state === 'Z' || state === 'X' || startTicks === undefined) return null
  return { startTicks, isExiting: (Number(fields[6]) & PF_EXITING) !== 0 }
}
