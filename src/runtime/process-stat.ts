import type { Kernel } from '../kernel/kernel.ts'
import { statFields } from '../kernel/process.ts'

/** What the kernel counts of one process. */
export interface ProcessStat {
  readonly pid: number
  readonly name: string
  /** One letter. */
  readonly state: string
  /** In the reader's pid namespace; 0: outside of it. */
  readonly parentPid: number
  readonly threads: number
  /** Since boot; with the pid it names one process for good. */
  readonly startTicks: string
  readonly cpuUsageUsec: number
}

export interface ProcessStatus {
  readonly uid: number
  /** In the innermost pid namespace that it is in. */
  readonly innerPid: number
  readonly residentBytes: number
}

/** USER_HZ is 100 on every architecture that Linux has today. */
const USEC_PER_TICK = 10_000

/** `null` when it has ended; its zombie is still one. */
export function readStat(kernel: Kernel, pid: number): ProcessStat | null {
  const text = kernel.readNow(`/proc/${pid}/stat`)
  return text === null ? null : parseStat(text)
}

/** proc_pid_stat(5). The name stands in parentheses and may itself hold any byte, parentheses too. */
export function parseStat(text: string): ProcessStat | null {
  const end = text.lastIndexOf(')')
  const begin = text.indexOf('(')
  const fields = statFields(text)
  const [state, parentPid] = fields
  const startTicks = fields[19]
  if (begin < 0 || state === undefined || startTicks === undefined) return null
  return {
    pid: Number.parseInt(text, 10),
    name: text.slice(begin + 1, end),
    state,
    parentPid: Number(parentPid),
    threads: Number(fields[17]),
    startTicks,
    cpuUsageUsec: (Number(fields[11]) + Number(fields[12])) * USEC_PER_TICK,
  }
}

export function readStatus(kernel: Kernel, pid: number): ProcessStatus | null {
  const text = kernel.readNow(`/proc/${pid}/status`)
  return text === null ? null : parseStatus(text)
}

/** proc_pid_status(5). The name comes first and has its newlines escaped: no line of it can be forged. */
export function parseStatus(text: string): ProcessStatus | null {
  const uid = /^Uid:\t(\d+)/m.exec(text)?.[1]
  const pids = /^NSpid:\t(.+)$/m.exec(text)?.[1]?.split('\t')
  if (uid === undefined || pids === undefined) return null
  // A kernel thread has no memory of its own, nor has a zombie any more.
  const kibibytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0)
  return { uid: Number(uid), innerPid: Number(pids.at(-1)), residentBytes: kibibytes * 1024 }
}
