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
  const field = statOf(kernel, pid)
  const [state, startTicks] = [field(3), field(22)]
  if (state === 'Z' || state === 'X' || startTicks === null) return null
  return { startTicks, isExiting: (Number(field(9)) & PF_EXITING) !== 0 }
}

/** Fields of proc_pid_stat(5) by their numbers there, from 3 on; `null` once the process is no more. */
export function statOf(kernel: Kernel, pid: number): (number: number) => string | null {
  const fields = statFields(kernel.readNow(`/proc/${pid}/stat`) ?? '')
  return (number) => fields[number - 3] ?? null
}

/** The same fields in order. The second is a name in parentheses, which may hold spaces and parentheses. */
export function statFields(text: string): readonly string[] {
  const end = text.lastIndexOf(')')
  return end < 0 ? [] : text.slice(end + 2).split(' ')
}
