import type { IoLimit, Limits } from '../model/limits.ts'
import { cpuQuota, sharesOfWeight } from './resources.ts'

/** One file to write, or one row of it, and the limit that it is part of. */
export interface Setting {
  readonly key: keyof Limits
  readonly controller: string
  readonly file: string
  readonly value: string
  /** The file is a table: the first word of the row that this is, and how the row reads when nothing is set. */
  readonly row?: { readonly name: string; readonly unset: string }
  /** Says what is so anyway: nothing to do where the kernel does not have the file. */
  readonly unset?: boolean
}

/** What the values depend on besides the limits. */
export interface SettingFacts {
  /** How a cpuset reads that is not limited. */
  readonly anyCpus: string
  readonly swapAccounting: boolean
  /** Path or device as the limits name it -> `8:0`. */
  readonly disks: ReadonlyMap<string, string>
  /** Disks that the cgroup has a limit for now: those that are not wanted any more lose it. */
  readonly limitedDisks: readonly string[]
  /** The kernel's names of all page sizes, for example `2MB`. */
  readonly pageSizes: readonly string[]
  /** v1: what the parent has. */
  readonly swappiness: number
}

/** The kernel's own defaults. */
export const DEFAULT_WEIGHT = 100
export const DEFAULT_PERIOD = 100_000

/** All limits as the files of cgroup v2 (cgroup-v2.rst). Pure. */
export function unifiedSettings(limits: Limits, facts: SettingFacts): readonly Setting[] {
  const { cpuMillis, cpuBurstMillis, cpuWeight, memoryBytes, swapBytes } = limits
  const cpu = cpuMillis === null ? null : cpuQuota(cpuMillis)
  const quota = cpu === null ? `max ${DEFAULT_PERIOD}` : `${cpu.quota} ${cpu.period}`
  const swap = setting('swapBytes', 'memory.swap.max', memoryBytes === null ? null : swapBytes)
  return [
    setting('cpuMillis', 'cpu.max', quota),
    extra('cpuBurstMillis', 'cpu.max.burst', burstOf(cpuBurstMillis), 0),
    setting('cpuWeight', 'cpu.weight', cpuWeight ?? DEFAULT_WEIGHT),
    setting('cpuset', 'cpuset.cpus', limits.cpuset ?? facts.anyCpus),
    setting('memoryBytes', 'memory.max', memoryBytes),
    extra('memoryHighBytes', 'memory.high', limits.memoryHighBytes, 'max'),
    ...reservation(limits),
    ...(facts.swapAccounting ? [swap] : []),
    ...oomGroup(limits),
    setting('pids', 'pids.max', limits.pids),
    ...ioRows(limits, facts),
    // Only one of the two is there, as the host's disks are scheduled.
    ...['io.weight', 'io.bfq.weight'].map((file) => ioWeight(limits, file)),
    ...facts.pageSizes.map((size) =>
      extra('hugepages', `hugetlb.${size}.max`, limits.hugepages[size] ?? null, 'max'),
    ),
  ]
}

/** All limits as the files of cgroup v1 (admin-guide/cgroup-v1). Pure. */
export function v1Settings(limits: Limits, facts: SettingFacts): readonly Setting[] {
  const { cpuMillis, cpuWeight, memoryBytes, swapBytes, pids } = limits
  const cpu = cpuMillis === null ? { quota: -1, period: DEFAULT_PERIOD } : cpuQuota(cpuMillis)
  const both = memoryBytes === null || swapBytes === null ? -1 : memoryBytes + swapBytes
  const sum = setting('swapBytes', 'memory.memsw.limit_in_bytes', both)
  const reserved = limits.memoryReservationBytes
  return [
    setting('cpuMillis', 'cpu.cfs_period_us', cpu.period),
    setting('cpuMillis', 'cpu.cfs_quota_us', cpu.quota),
    extra('cpuBurstMillis', 'cpu.cfs_burst_us', burstOf(limits.cpuBurstMillis), 0),
    setting('cpuWeight', 'cpu.shares', sharesOfWeight(cpuWeight ?? DEFAULT_WEIGHT)),
    setting('cpuset', 'cpuset.cpus', limits.cpuset ?? facts.anyCpus),
    setting('memoryBytes', 'memory.limit_in_bytes', memoryBytes ?? -1),
    ...(facts.swapAccounting ? [sum] : []),
    extra('memoryReservationBytes', 'memory.soft_limit_in_bytes', reserved, -1),
    extra('swappiness', 'memory.swappiness', limits.swappiness, facts.swappiness),
    setting('pids', 'pids.max', pids),
    ...blkioRows(limits, facts),
    ioWeight(limits, 'blkio.bfq.weight'),
    ...facts.pageSizes.map((size) =>
      extra('hugepages', `hugetlb.${size}.limit_in_bytes`, limits.hugepages[size] ?? null, -1),
    ),
  ]
}

/** What a project has reserved without saying so follows from its containers (`CgroupHost.reserve`). */
function reservation({ memoryReservationBytes: bytes, oom }: Limits): readonly Setting[] {
  const isProject = oom === null
  return isProject && bytes === null
    ? []
    : [extra('memoryReservationBytes', 'memory.low', bytes, 0)]
}

/** Microseconds in each period. */
const burstOf = (millis: number | null): number | null =>
  millis === null ? null : Math.round((millis * DEFAULT_PERIOD) / 1000)

function oomGroup({ oom }: Limits): readonly Setting[] {
  if (oom === null) return []
  return [extra('oom', 'memory.oom.group', oom === 'container' ? 1 : null, 0)]
}

const RATES: readonly (readonly [(limit: IoLimit) => number | null, string, string])[] = [
  [({ readBps }) => readBps, 'rbps', 'blkio.throttle.read_bps_device'],
  [({ writeBps }) => writeBps, 'wbps', 'blkio.throttle.write_bps_device'],
  [({ readIops }) => readIops, 'riops', 'blkio.throttle.read_iops_device'],
  [({ writeIops }) => writeIops, 'wiops', 'blkio.throttle.write_iops_device'],
]

function ioRows(limits: Limits, facts: SettingFacts): readonly Setting[] {
  return disksOf(limits, facts).map(([disk, limit]) => {
    const rates = (of: IoLimit | null) =>
      RATES.map(([rate, word]) => `${word}=${(of === null ? null : rate(of)) ?? 'max'}`).join(' ')
    const row = { name: disk, unset: `${disk} ${rates(null)}` }
    return { ...setting('io', 'io.max', `${disk} ${rates(limit)}`), row }
  })
}

function blkioRows(limits: Limits, facts: SettingFacts): readonly Setting[] {
  return disksOf(limits, facts).flatMap(([disk, limit]) =>
    RATES.map(([rate, , file]) => {
      const value = `${disk} ${(limit === null ? null : rate(limit)) ?? 0}`
      return { ...setting('io', file, value), row: { name: disk, unset: `${disk} 0` } }
    }),
  )
}

/** Two paths on one disk: the slower speed counts. `null`: the disk has a limit and should not have one. */
function disksOf(
  limits: Limits,
  facts: SettingFacts,
): readonly (readonly [string, IoLimit | null])[] {
  const wanted = new Map<string, IoLimit | null>(facts.limitedDisks.map((disk) => [disk, null]))
  for (const limit of limits.io) {
    const disk = facts.disks.get(limit.path)
    if (disk === undefined) continue
    const other = wanted.get(disk) ?? null
    wanted.set(disk, other === null ? limit : slower(limit, other))
  }
  return [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))
}

function slower(a: IoLimit, b: IoLimit): IoLimit {
  const least = (x: number | null, y: number | null) =>
    x === null || y === null ? (x ?? y) : Math.min(x, y)
  return {
    ...a,
    readBps: least(a.readBps, b.readBps),
    writeBps: least(a.writeBps, b.writeBps),
    readIops: least(a.readIops, b.readIops),
    writeIops: least(a.writeIops, b.writeIops),
  }
}

/** BFQ's scale ends at 1000; 100 means the same on both. Which file counts, the preflight has found out. */
function ioWeight({ ioWeight: weight }: Limits, file: string): Setting {
  const own = weight ?? DEFAULT_WEIGHT
  const bfq = own <= 100 ? own : 100 + Math.round((own - 100) / 11)
  return { ...setting('ioWeight', file, file.includes('bfq') ? bfq : own), unset: true }
}

/** A file that not every kernel has. */
function extra(
  key: keyof Limits,
  file: string,
  value: number | null,
  without: number | string,
): Setting {
  return { ...setting(key, file, value ?? without), unset: value === null }
}

const setting = (key: keyof Limits, file: string, value: number | string | null): Setting => ({
  key,
  controller: file.slice(0, file.indexOf('.')),
  file,
  value: value === null ? 'max' : String(value),
})
