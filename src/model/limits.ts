/** What a cgroup may use. `null` means no limit of that kind. Used by containers and by whole projects. */
export interface Limits {
  /** Thousandths of one CPU: 250 is a quarter of a CPU, 1500 is one and a half. */
  readonly cpuMillis: number | null
  /** cgroup v2 `cpu.weight`, 1 to 10000 (v1 shares are converted when the manifest is normalised). */
  readonly cpuWeight: number | null
  /** Kernel list format, for example `0-2,4`. */
  readonly cpuset: string | null
  readonly memoryBytes: number | null
  /** Swap on top of memory; 0 forbids swap. */
  readonly swapBytes: number | null
  readonly pids: number | null
}

export const NO_LIMITS: Limits = {
  cpuMillis: null,
  cpuWeight: null,
  cpuset: null,
  memoryBytes: null,
  swapBytes: null,
  pids: null,
}
