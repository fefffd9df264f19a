import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Limits } from '../model/limits.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { cpuQuota, sharesOfWeight } from './resources.ts'

interface Target {
  readonly mounts: CgroupMounts
  readonly path: string
  readonly limits: Limits
}

/** One file to write. */
interface Setting {
  readonly controller: string
  readonly file: string
  readonly value: string
}

/** Above this v1 reports "no limit": LONG_MAX rounded down to a page. */
const V1_UNLIMITED = 2 ** 62
const DEFAULT_WEIGHT = 100
const DEFAULT_PERIOD = 100_000

/**
 * Makes a cgroup's limits exactly these. Written straight into the kernel's files: the OCI runtimes'
 * `update` cannot take a limit off again, and each wants its own order. PakError `host` tells what the
 * kernel refused, for example less memory than cannot be reclaimed.
 */
export async function writeLimits(kernel: Kernel, target: Target): Promise<void> {
  const settings =
    target.mounts.version === 2 ? unifiedSettings(target) : await v1Settings(kernel, target)
  for (const { controller, file, value } of settings) {
    if (!target.mounts.controllers.has(controller)) continue
    const path = pathIn(target.mounts, controller, target.path, file)
    if ((await kernel.readText(path))?.trim() === value) continue
    await write(kernel, path, value)
  }
}

/** The limits that the kernel has for a cgroup now; `null` when it is gone. */
export async function readLimits(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<Limits | null> {
  const read = async (controller: string, file: string) =>
    (await kernel.readText(pathIn(mounts, controller, path, file)))?.trim() ?? null
  if (!(await kernel.exists(pathIn(mounts, 'memory', path)))) return null
  if (mounts.version === 2) return readUnified(read)
  const limits = await readV1(read)
  // A v1 cpuset is never empty: what the parent has is no limit.
  const inherited = limits.cpuset === (await parentCpus(kernel, { mounts, path }))
  return inherited ? { ...limits, cpuset: null } : limits
}

type Read = (controller: string, file: string) => Promise<string | null>

async function readUnified(read: Read): Promise<Limits> {
  const [quota, period] = ((await read('cpu', 'cpu.max')) ?? 'max').split(' ')
  const weight = Number((await read('cpu', 'cpu.weight')) ?? DEFAULT_WEIGHT)
  return {
    cpuMillis: millis(quota === 'max' ? -1 : Number(quota), Number(period)),
    cpuWeight: weight === DEFAULT_WEIGHT ? null : weight,
    cpuset: (await read('cpuset', 'cpuset.cpus')) || null,
    memoryBytes: bounded(await read('memory', 'memory.max')),
    swapBytes: bounded(await read('memory', 'memory.swap.max')),
    pids: bounded(await read('pids', 'pids.max')),
  }
}

async function readV1(read: Read): Promise<Limits> {
  const shares = Number((await read('cpu', 'cpu.shares')) ?? sharesOfWeight(DEFAULT_WEIGHT))
  const quota = Number((await read('cpu', 'cpu.cfs_quota_us')) ?? -1)
  const memoryBytes = bounded(await read('memory', 'memory.limit_in_bytes'))
  const both = bounded(await read('memory', 'memory.memsw.limit_in_bytes'))
  return {
    cpuMillis: millis(quota, Number((await read('cpu', 'cpu.cfs_period_us')) ?? DEFAULT_PERIOD)),
    cpuWeight: shares === sharesOfWeight(DEFAULT_WEIGHT) ? null : Math.round((shares * 100) / 1024),
    cpuset: (await read('cpuset', 'cpuset.cpus')) || null,
    memoryBytes,
    swapBytes: both === null || memoryBytes === null ? null : both - memoryBytes,
    pids: bounded(await read('pids', 'pids.max')),
  }
}

const millis = (quota: number, period: number): number | null =>
  quota < 0 || !(period > 0) ? null : Math.round((quota * 1000) / period)

const bounded = (text: string | null): number | null =>
  text === null || text === 'max' || Number(text) >= V1_UNLIMITED ? null : Number(text)

/** cgroup-v2.rst */
function unifiedSettings({ limits, mounts }: Target): readonly Setting[] {
  const { cpuMillis, cpuWeight, cpuset, memoryBytes, swapBytes, pids } = limits
  const cpu = cpuMillis === null ? null : cpuQuota(cpuMillis)
  const swap = mounts.swapAccounting
    ? [setting('memory', 'memory.swap.max', memoryBytes === null ? null : swapBytes)]
    : []
  return [
    {
      controller: 'cpu',
      file: 'cpu.max',
      value: cpu === null ? `max ${DEFAULT_PERIOD}` : `${cpu.quota} ${cpu.period}`,
    },
    setting('cpu', 'cpu.weight', cpuWeight ?? DEFAULT_WEIGHT),
    { controller: 'cpuset', file: 'cpuset.cpus', value: cpuset ?? '' },
    setting('memory', 'memory.max', memoryBytes),
    ...swap,
    setting('pids', 'pids.max', pids),
  ]
}

const setting = (controller: string, file: string, value: number | null): Setting => ({
  controller,
  file,
  value: value === null ? 'max' : String(value),
})

/** admin-guide/cgroup-v1 */
async function v1Settings(kernel: Kernel, target: Target): Promise<readonly Setting[]> {
  const { cpuMillis, cpuWeight, cpuset, pids } = target.limits
  const cpu = cpuMillis === null ? { quota: -1, period: DEFAULT_PERIOD } : cpuQuota(cpuMillis)
  return [
    { controller: 'cpu', file: 'cpu.cfs_period_us', value: String(cpu.period) },
    { controller: 'cpu', file: 'cpu.cfs_quota_us', value: String(cpu.quota) },
    setting('cpu', 'cpu.shares', sharesOfWeight(cpuWeight ?? DEFAULT_WEIGHT)),
    {
      controller: 'cpuset',
      file: 'cpuset.cpus',
      value: cpuset ?? (await parentCpus(kernel, target)),
    },
    ...(await v1Memory(kernel, target)),
    setting('pids', 'pids.max', pids),
  ]
}

async function parentCpus(
  kernel: Kernel,
  { mounts, path }: Omit<Target, 'limits'>,
): Promise<string> {
  const parent = pathIn(mounts, 'cpuset', path, '..', 'cpuset.cpus')
  return ((await kernel.readText(parent)) ?? '').trim()
}

/** Memory may never exceed memory plus swap, at no moment: a growing pair starts with the sum, a shrinking one ends with it. */
async function v1Memory(
  kernel: Kernel,
  { mounts, path, limits }: Target,
): Promise<readonly Setting[]> {
  const { memoryBytes, swapBytes } = limits
  const memory = v1Setting('memory.limit_in_bytes', memoryBytes)
  if (!mounts.swapAccounting) return [memory]
  const total = memoryBytes === null || swapBytes === null ? null : memoryBytes + swapBytes
  const sum = v1Setting('memory.memsw.limit_in_bytes', total)
  const now = await kernel.readText(pathIn(mounts, 'memory', path, sum.file))
  const grows = (memoryBytes ?? Infinity) > Number(now ?? 0)
  return grows || total === null ? [sum, memory] : [memory, sum]
}

const v1Setting = (file: string, bytes: number | null): Setting => ({
  controller: 'memory',
  file,
  value: bytes === null ? '-1' : String(bytes),
})

async function write(kernel: Kernel, path: string, value: string): Promise<void> {
  try {
    // An empty write never reaches the kernel; a lone newline does, and clears a list.
    await kernel.writeText(path, value === '' ? '\n' : value)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    const busy = error.code === 'EBUSY' ? 'more than that is in use and cannot be reclaimed' : null
    const parent =
      error.code === 'EINVAL' ? 'the kernel refuses the value (past what the parent has?)' : null
    throw new PakError(
      'host',
      `write ${value} to \`${path}\`: ${busy ?? parent ?? error.message}`,
      {
        cause: error,
      },
    )
  }
}
