import type { Kernel } from '../kernel/kernel.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { bounded, field, pressure, sum } from './cgroup-text.ts'

/** What a cgroup and all below it use and have used; bytes, microseconds of CPU, counts since it was made. */
export interface CgroupUsage {
  readonly cpuUsageUsec: number
  /** Periods in which it ran under a limit, and those of them in which it was held back. */
  readonly periods: number
  readonly throttledPeriods: number
  readonly throttledUsec: number
  /** All that is charged to it. */
  readonly memoryBytes: number
  /** Memory less the file cache that is idle: what the OOM killer looks at. */
  readonly workingSetBytes: number
  readonly memoryPeakBytes: number
  /** `null`: none of its own; a cgroup above may have one. */
  readonly memoryLimitBytes: number | null
  readonly anonBytes: number
  /** Page cache, tmpfs and shared memory included. */
  readonly fileBytes: number
  readonly kernelBytes: number
  readonly swapBytes: number
  readonly oomKills: number
  readonly pids: number
  readonly pidsLimit: number | null
  readonly blockReadBytes: number
  readonly blockWriteBytes: number
  readonly pressure: Pressure
  /** All of it stands still. */
  readonly frozen: boolean
}

/** Share of the last ten seconds in which some process waited, in percent; `null`: the host does not tell. */
export interface Pressure {
  readonly cpu: number | null
  readonly memory: number | null
  readonly io: number | null
}

/** Text of a file of the cgroup; empty when there is none. */
export type ReadFile = (controller: string, file: string) => string

/** `null` when the cgroup is gone. Waits for nothing: see `Kernel.readNow`. */
export function readUsage(kernel: Kernel, mounts: CgroupMounts, path: string): CgroupUsage | null {
  let isThere = false
  const read: ReadFile = (controller, file) => {
    const text = kernel.readNow(pathIn(mounts, controller, path, file))
    isThere ||= text !== null
    return text ?? ''
  }
  const usage = mounts.version === 2 ? unifiedUsage(read) : v1Usage(read)
  return isThere ? usage : null
}

/** Microseconds of CPU, alone: the first of two readings. `null` when the cgroup is gone. */
export function readCpuUsec(kernel: Kernel, mounts: CgroupMounts, path: string): number | null {
  const [controller, file] = mounts.version === 2 ? ['cpu', 'cpu.stat'] : ['cpuacct', V1_CPU]
  const text = kernel.readNow(pathIn(mounts, controller, path, file))
  if (text === null) return null
  return mounts.version === 2 ? field(text, 'usage_usec') : microseconds(Number(text))
}

/**
 * Processes in this cgroup that the kernel killed for memory, whoever's limit it was, for as long as the
 * cgroup exists: read it before the OCI runtime deletes the container. It counts processes that came
 * through `exec` as well. conmon's `oom` file is no verdict: on v1 it is also written when the project's
 * limit was hit and a neighbour killed, on v2 conmon before 2.1.8 stops looking at the first harmless event.
 */
export async function readOomKills(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<number> {
  const file = mounts.version === 2 ? 'memory.events' : 'memory.oom_control'
  return field(kernel.readNow(pathIn(mounts, 'memory', path, file)) ?? '', 'oom_kill')
}

/** cgroup-v2.rst, psi.rst. */
export function unifiedUsage(read: ReadFile): CgroupUsage {
  const stat = read('memory', 'memory.stat')
  const cpu = read('cpu', 'cpu.stat')
  const io = read('io', 'io.stat')
  const memoryBytes = Number(read('memory', 'memory.current'))
  const anonBytes = field(stat, 'anon')
  return {
    cpuUsageUsec: field(cpu, 'usage_usec'),
    periods: field(cpu, 'nr_periods'),
    throttledPeriods: field(cpu, 'nr_throttled'),
    throttledUsec: field(cpu, 'throttled_usec'),
    memoryBytes,
    workingSetBytes: workingSet(memoryBytes, field(stat, 'inactive_file'), anonBytes),
    // Linux keeps it since 5.19 only.
    memoryPeakBytes: Math.max(memoryBytes, Number(read('memory', 'memory.peak'))),
    memoryLimitBytes: bounded(read('memory', 'memory.max')),
    anonBytes,
    fileBytes: field(stat, 'file'),
    kernelBytes: unifiedKernel(stat),
    swapBytes: Number(read('memory', 'memory.swap.current')),
    oomKills: field(read('memory', 'memory.events'), 'oom_kill'),
    pids: Number(read('pids', 'pids.current')),
    pidsLimit: bounded(read('pids', 'pids.max')),
    blockReadBytes: sum(io, /\brbytes=(\d+)/g),
    blockWriteBytes: sum(io, /\bwbytes=(\d+)/g),
    pressure: {
      cpu: pressure(read('cpu', 'cpu.pressure')),
      memory: pressure(read('memory', 'memory.pressure')),
      io: pressure(read('io', 'io.pressure')),
    },
    frozen: field(read('memory', 'cgroup.events'), 'frozen') === 1,
  }
}

/** admin-guide/cgroup-v1 */
export function v1Usage(read: ReadFile): CgroupUsage {
  const stat = read('memory', 'memory.stat')
  const cpu = read('cpu', 'cpu.stat')
  const io = read('blkio', 'blkio.throttle.io_service_bytes_recursive')
  const memoryBytes = Number(read('memory', 'memory.usage_in_bytes'))
  const anonBytes = field(stat, 'total_rss')
  return {
    cpuUsageUsec: microseconds(Number(read('cpuacct', V1_CPU))),
    periods: field(cpu, 'nr_periods'),
    throttledPeriods: field(cpu, 'nr_throttled'),
    throttledUsec: microseconds(field(cpu, 'throttled_time')),
    memoryBytes,
    workingSetBytes: workingSet(memoryBytes, field(stat, 'total_inactive_file'), anonBytes),
    memoryPeakBytes: Math.max(memoryBytes, Number(read('memory', 'memory.max_usage_in_bytes'))),
    memoryLimitBytes: bounded(read('memory', 'memory.limit_in_bytes')),
    anonBytes,
    fileBytes: field(stat, 'total_cache'),
    kernelBytes: Number(read('memory', 'memory.kmem.usage_in_bytes')),
    swapBytes: field(stat, 'total_swap'),
    oomKills: field(read('memory', 'memory.oom_control'), 'oom_kill'),
    pids: Number(read('pids', 'pids.current')),
    pidsLimit: bounded(read('pids', 'pids.max')),
    blockReadBytes: sum(io, /^\d+:\d+ Read (\d+)/gm),
    blockWriteBytes: sum(io, /^\d+:\d+ Write (\d+)/gm),
    // v1 has it for the whole host only.
    pressure: { cpu: null, memory: null, io: null },
    frozen: read('freezer', 'freezer.state').trim() === 'FROZEN',
  }
}

const V1_CPU = 'cpuacct.usage'
const microseconds = (nanoseconds: number): number => Math.round(nanoseconds / 1000)

/** `memory.stat` lags behind the charge: what is surely in use is never left out. */
function workingSet(memoryBytes: number, idleBytes: number, anonBytes: number): number {
  const active = Math.max(memoryBytes - idleBytes, Math.min(memoryBytes, anonBytes))
  return active > 0 ? active : memoryBytes
}

/** One number since Linux 5.18. */
function unifiedKernel(stat: string): number {
  const parts = ['slab', 'kernel_stack', 'pagetables', 'percpu', 'sock']
  return field(stat, 'kernel') || parts.reduce((total, part) => total + field(stat, part), 0)
}
