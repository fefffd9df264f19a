import type { Kernel } from '../kernel/kernel.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'

/** What a cgroup uses and has used; bytes, microseconds of CPU, counts since it was made. */
export interface CgroupUsage {
  readonly memoryBytes: number
  /** Memory less the file cache that is idle: what the OOM killer looks at. */
  readonly workingSetBytes: number
  /** 0 where the kernel does not keep it (v2 before 5.19). */
  readonly memoryPeakBytes: number
  readonly cpuUsageUsec: number
  readonly periods: number
  readonly throttledPeriods: number
  readonly throttledUsec: number
  readonly pids: number
  readonly oomKills: number
  readonly blockReadBytes: number
  readonly blockWriteBytes: number
}

/** `null` when the cgroup is gone. */
export async function readUsage(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<CgroupUsage | null> {
  const read = async (controller: string, file: string) =>
    (await kernel.readText(pathIn(mounts, controller, path, file)).catch(gone)) ?? ''
  const pids = await read('pids', 'pids.current')
  if (pids === '' && !(await kernel.exists(pathIn(mounts, 'memory', path)))) return null
  const usage = mounts.version === 2 ? await unified(read) : await legacy(read)
  return { ...usage, pids: Number(pids), oomKills: await readOomKills(kernel, mounts, path) }
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
  const text = await kernel.readText(pathIn(mounts, 'memory', path, file)).catch(gone)
  return field(text ?? '', 'oom_kill')
}

type Read = (controller: string, file: string) => Promise<string>

async function unified(read: Read): Promise<Omit<CgroupUsage, 'pids' | 'oomKills'>> {
  const [current, stat, peak, cpu, io] = await Promise.all([
    read('memory', 'memory.current'),
    read('memory', 'memory.stat'),
    read('memory', 'memory.peak'),
    read('cpu', 'cpu.stat'),
    read('io', 'io.stat'),
  ])
  const memoryBytes = Number(current)
  return {
    memoryBytes,
    workingSetBytes: Math.max(0, memoryBytes - field(stat, 'inactive_file')),
    memoryPeakBytes: Number(peak),
    cpuUsageUsec: field(cpu, 'usage_usec'),
    periods: field(cpu, 'nr_periods'),
    throttledPeriods: field(cpu, 'nr_throttled'),
    throttledUsec: field(cpu, 'throttled_usec'),
    blockReadBytes: sum(io, /\brbytes=(\d+)/g),
    blockWriteBytes: sum(io, /\bwbytes=(\d+)/g),
  }
}

async function legacy(read: Read): Promise<Omit<CgroupUsage, 'pids' | 'oomKills'>> {
  const [current, stat, peak, nanoseconds, cpu, io] = await Promise.all([
    read('memory', 'memory.usage_in_bytes'),
    read('memory', 'memory.stat'),
    read('memory', 'memory.max_usage_in_bytes'),
    read('cpuacct', 'cpuacct.usage'),
    read('cpu', 'cpu.stat'),
    read('blkio', 'blkio.throttle.io_service_bytes_recursive'),
  ])
  const memoryBytes = Number(current)
  return {
    memoryBytes,
    workingSetBytes: Math.max(0, memoryBytes - field(stat, 'total_inactive_file')),
    memoryPeakBytes: Number(peak),
    cpuUsageUsec: Math.round(Number(nanoseconds) / 1000),
    periods: field(cpu, 'nr_periods'),
    throttledPeriods: field(cpu, 'nr_throttled'),
    throttledUsec: Math.round(field(cpu, 'throttled_time') / 1000),
    blockReadBytes: sum(io, /^\d+:\d+ Read (\d+)/gm),
    blockWriteBytes: sum(io, /^\d+:\d+ Write (\d+)/gm),
  }
}

/** Value of a `key value` line; 0 when there is none. */
function field(text: string, key: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${key} `))
  return line === undefined ? 0 : Number(line.slice(key.length + 1))
}

const sum = (text: string, pattern: RegExp): number =>
  [...text.matchAll(pattern)].reduce((total, [, bytes]) => total + Number(bytes), 0)

/** A cgroup removed between open and read answers ENODEV. */
function gone(error: unknown): null {
  if (error instanceof Error && 'code' in error && error.code === 'ENODEV') return null
  throw error
}
