import type { Kernel } from '../kernel/kernel.ts'
import type { Limits } from '../model/limits.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { cpuQuota, sharesOfWeight } from './resources.ts'

/** What is to be written where, so that a cgroup has these limits and no others. */
export interface LimitTarget {
  readonly mounts: CgroupMounts
  readonly path: string
  readonly limits: Limits
}

/** One file to write, and the limit that it is part of. */
export interface Setting {
  readonly key: keyof Limits
  readonly controller: string
  readonly file: string
  readonly value: string
}

/** The kernel's own defaults. */
export const DEFAULT_WEIGHT = 100
export const DEFAULT_PERIOD = 100_000

/** In the order in which they are written. */
export function limitSettings(kernel: Kernel, target: LimitTarget): Promise<readonly Setting[]> {
  return target.mounts.version === 2 ? unifiedSettings(kernel, target) : v1Settings(kernel, target)
}

/** What a cgroup's parent may run on: what a cpuset has that is not limited. */
export async function parentCpus(
  kernel: Kernel,
  { mounts, path }: Omit<LimitTarget, 'limits'>,
): Promise<string> {
  const file = mounts.version === 2 ? 'cpuset.cpus.effective' : 'cpuset.cpus'
  const parent = pathIn(mounts, 'cpuset', path, '..', file)
  return (kernel.readNow(parent) ?? '').trim()
}

/** cgroup-v2.rst */
async function unifiedSettings(kernel: Kernel, target: LimitTarget): Promise<readonly Setting[]> {
  const { cpuMillis, cpuWeight, memoryBytes, swapBytes, pids } = target.limits
  const cpu = cpuMillis === null ? null : cpuQuota(cpuMillis)
  const quota = cpu === null ? `max ${DEFAULT_PERIOD}` : `${cpu.quota} ${cpu.period}`
  const swap = setting('swapBytes', 'memory.swap.max', memoryBytes === null ? null : swapBytes)
  return [
    setting('cpuMillis', 'cpu.max', quota),
    setting('cpuWeight', 'cpu.weight', cpuWeight ?? DEFAULT_WEIGHT),
    setting('cpuset', 'cpuset.cpus', await unifiedCpus(kernel, target)),
    setting('memoryBytes', 'memory.max', memoryBytes),
    ...(target.mounts.swapAccounting ? [swap] : []),
    setting('pids', 'pids.max', pids),
  ]
}

/** A list once set cannot be emptied while processes run (ENOSPC): then the parent's means no limit. */
async function unifiedCpus(kernel: Kernel, target: LimitTarget): Promise<string> {
  if (target.limits.cpuset !== null) return target.limits.cpuset
  const own = kernel.readNow(pathIn(target.mounts, 'cpuset', target.path, 'cpuset.cpus'))
  return (own ?? '').trim() === '' ? '' : parentCpus(kernel, target)
}

/** admin-guide/cgroup-v1 */
async function v1Settings(kernel: Kernel, target: LimitTarget): Promise<readonly Setting[]> {
  const { cpuMillis, cpuWeight, cpuset, pids } = target.limits
  const cpu = cpuMillis === null ? { quota: -1, period: DEFAULT_PERIOD } : cpuQuota(cpuMillis)
  return [
    setting('cpuMillis', 'cpu.cfs_period_us', cpu.period),
    setting('cpuMillis', 'cpu.cfs_quota_us', cpu.quota),
    setting('cpuWeight', 'cpu.shares', sharesOfWeight(cpuWeight ?? DEFAULT_WEIGHT)),
    setting('cpuset', 'cpuset.cpus', cpuset ?? (await parentCpus(kernel, target))),
    ...(await v1Memory(kernel, target)),
    setting('pids', 'pids.max', pids),
  ]
}

/** Memory may never exceed memory plus swap, at no moment: a growing pair starts with the sum, a shrinking one ends with it. */
async function v1Memory(
  kernel: Kernel,
  { mounts, path, limits }: LimitTarget,
): Promise<readonly Setting[]> {
  const { memoryBytes, swapBytes } = limits
  const memory = setting('memoryBytes', 'memory.limit_in_bytes', memoryBytes ?? -1)
  if (!mounts.swapAccounting) return [memory]
  const total = memoryBytes === null || swapBytes === null ? null : memoryBytes + swapBytes
  const sum = setting('swapBytes', 'memory.memsw.limit_in_bytes', total ?? -1)
  const now = kernel.readNow(pathIn(mounts, 'memory', path, sum.file))
  const grows = (memoryBytes ?? Infinity) > Number(now ?? 0)
  return grows || total === null ? [sum, memory] : [memory, sum]
}

const setting = (key: keyof Limits, file: string, value: number | string | null): Setting => ({
  key,
  controller: file.slice(0, file.indexOf('.')),
  file,
  value: value === null ? 'max' : String(value),
})
