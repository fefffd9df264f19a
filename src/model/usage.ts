import type { StateWord } from './status.ts'

/**
 * What a container, the replicas of a service together or a whole project use. Counters are since the
 * container's start; `null` where nothing runs, or the host does not count it.
 */
export interface UsageRow extends Usage {
  readonly scope: 'container' | 'service' | 'project'
  readonly project: string
  readonly service: string | null
  readonly container: string | null
  readonly id: string | null
  readonly state: StateWord | null
  /** Of a container: what was put into it from outside, and is in the numbers above, too. */
  readonly execs: readonly ExecUsage[]
}

/** What one `pak exec` or health check has running in a container. */
export interface ExecUsage {
  /** Of the oldest process that is left of it, as this host numbers it. */
  readonly pid: number
  readonly command: string
  readonly pids: number
  readonly cpuPercent: number
  /** On cgroup v2 also of processes that have ended. */
  readonly cpuUsageUsec: number
  /** Resident pages, shared ones included. */
  readonly memoryBytes: number
}

export interface Usage {
  /** 100 is one CPU, measured over the time between two readings. */
  readonly cpuPercent: number | null
  readonly cpuUsageUsec: number | null
  /** Periods in which it ran under a limit, and those of them in which it was held back. */
  readonly periods: number | null
  readonly throttledPeriods: number | null
  readonly throttledUsec: number | null
  /** The working set: all that is charged less the file cache that is idle. */
  readonly memoryBytes: number | null
  /** All that is charged. */
  readonly memoryChargedBytes: number | null
  readonly memoryPeakBytes: number | null
  /** Its own limit; `null`: none. */
  readonly memoryLimitBytes: number | null
  readonly memoryAnonBytes: number | null
  readonly memoryFileBytes: number | null
  readonly memoryKernelBytes: number | null
  readonly swapBytes: number | null
  readonly oomKills: number | null
  readonly pids: number | null
  readonly pidsLimit: number | null
  readonly blockReadBytes: number | null
  readonly blockWriteBytes: number | null
  /** `null` also where the network is the host's or another container's. */
  readonly netRxBytes: number | null
  readonly netTxBytes: number | null
  /** Share of the last ten seconds in which some process waited for it (PSI, cgroup v2). */
  readonly cpuPressurePercent: number | null
  readonly memoryPressurePercent: number | null
  readonly ioPressurePercent: number | null
}

/** One process of a container. */
export interface ProcessRow {
  readonly project: string
  readonly service: string
  readonly container: string
  /** As this host numbers it. */
  readonly pid: number
  /** As the container numbers it. */
  readonly containerPid: number
  /** Of the process that started it, on the host; 0: nobody of this host's. */
  readonly parentPid: number
  /** The container's name for the uid, else the uid in digits. */
  readonly user: string
  readonly uid: number
  /** One letter, proc_pid_stat(5). */
  readonly state: string
  readonly threads: number
  readonly cpuPercent: number
  readonly cpuUsageUsec: number
  /** Resident pages, shared ones included. */
  readonly memoryBytes: number
  /** Came through `pak exec` or a health check, by itself or as a child of one that did. */
  readonly exec: boolean
  /** With which others: the pid of the oldest of them, as `ExecUsage` has it. `null`: the container's own. */
  readonly session: number | null
  /** Arguments with blanks between them, cut after 4096 bytes; `[name]` where there are none. */
  readonly command: string
}
