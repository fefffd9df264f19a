/** What a cgroup may use. `null` means no limit of that kind. Used by containers and by whole projects. */
export interface Limits {
  /** Thousandths of one CPU: 250 is a quarter of a CPU, 1500 is one and a half. */
  readonly cpuMillis: number | null
  /** CPU time that may be saved up while idle and spent on top later, in the unit of `cpuMillis`, which it never exceeds. */
  readonly cpuBurstMillis: number | null
  /** cgroup v2 `cpu.weight`, 1 to 10000 (v1 shares are converted when the manifest is normalised). */
  readonly cpuWeight: number | null
  /** Kernel list format, for example `0-2,4`. */
  readonly cpuset: string | null
  readonly memoryBytes: number | null
  /** Above this the kernel slows down and reclaims, and kills nobody. */
  readonly memoryHighBytes: number | null
  /** Up to this much is taken away last when memory is short. */
  readonly memoryReservationBytes: number | null
  /** Swap on top of memory; 0 forbids swap. */
  readonly swapBytes: number | null
  /** 0 to 100: how readily memory is swapped out. */
  readonly swappiness: number | null
  readonly pids: number | null
  /** Sorted by path, each once. */
  readonly io: readonly IoLimit[]
  /** cgroup v2 `io.weight`, 1 to 10000. */
  readonly ioWeight: number | null
  /** The kernel's name of a page size (`2MB`, `1GB`) -> bytes. */
  readonly hugepages: Readonly<Record<string, number>>
  /** Who goes when memory runs out: all, or the process that the kernel picks. `null`: a project, which has no say. */
  readonly oom: 'container' | 'process' | null
}

/** Speed of one disk: a block device, or the one beneath a path of the host. */
export interface IoLimit {
  readonly kind: 'device' | 'path'
  readonly path: string
  readonly readBps: number | null
  readonly writeBps: number | null
  readonly readIops: number | null
  readonly writeIops: number | null
}

export const NO_LIMITS: Limits = {
  cpuMillis: null,
  cpuBurstMillis: null,
  cpuWeight: null,
  cpuset: null,
  memoryBytes: null,
  memoryHighBytes: null,
  memoryReservationBytes: null,
  swapBytes: null,
  swappiness: null,
  pids: null,
  io: [],
  ioWeight: null,
  hugepages: {},
  oom: null,
}
