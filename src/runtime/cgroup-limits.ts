import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Limits } from '../model/limits.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import {
  DEFAULT_PERIOD,
  DEFAULT_WEIGHT,
  type LimitTarget,
  limitSettings,
  parentCpus,
  type Setting,
} from './cgroup-settings.ts'
import { sharesOfWeight } from './resources.ts'

/** Above this v1 reports "no limit": LONG_MAX rounded down to a page. */
const V1_UNLIMITED = 2 ** 62

/**
 * Makes a cgroup's limits exactly these. Written straight into the kernel's files: the OCI runtimes'
 * `update` cannot take a limit off again, and each wants its own order. PakError `host` tells what the
 * kernel refused, for example less memory than cannot be reclaimed.
 */
export async function writeLimits(kernel: Kernel, target: LimitTarget): Promise<void> {
  for (const { path, value } of await changes(kernel, target)) await write(kernel, path, value)
}

/** What the kernel has otherwise than these limits, because somebody wrote into its files: a fact for each file. */
export async function driftedLimits(
  kernel: Kernel,
  target: LimitTarget,
): Promise<readonly string[]> {
  const found = await changes(kernel, target)
  return found.flatMap(({ file, now, value }) =>
    now === null ? [] : `${file} was ${now.trim() || 'empty'}, should be ${value || 'empty'}`,
  )
}

async function changes(kernel: Kernel, target: LimitTarget): Promise<readonly Change[]> {
  const { mounts } = target
  const settings = await limitSettings(kernel, target)
  return settings.flatMap((setting) => {
    if (!mounts.controllers.has(setting.controller)) return []
    const path = pathIn(mounts, setting.controller, target.path, setting.file)
    const now = kernel.readNow(path)
    const same =
      now !== null && comparable(now, setting.key) === comparable(setting.value, setting.key)
    return same ? [] : [{ ...setting, path, now }]
  })
}

interface Change extends Setting {
  readonly path: string
  /** `null`: there is no such file. */
  readonly now: string | null
}

const PAGE_BYTES = 4096

/** As the kernel would say it: bytes of memory in whole pages, no limit as `max`. */
function comparable(text: string, key: keyof Limits): string {
  const trimmed = text.trim()
  if (trimmed === 'max' || trimmed === '-1') return 'max'
  if (key === 'cpuset') return [...members(trimmed)].sort((a, b) => a - b).join()
  if (key !== 'memoryBytes' && key !== 'swapBytes') return trimmed
  const bytes = Number(trimmed)
  return bytes >= V1_UNLIMITED ? 'max' : String(Math.floor(bytes / PAGE_BYTES) * PAGE_BYTES)
}

/** `0-2,4` in whatever way it is written; a list longer than any machine is cut. */
function members(list: string): ReadonlySet<number> {
  return new Set(
    list.split(',').flatMap((part) => {
      const [first = Number.NaN, last = first] = part.split('-').map(Number)
      const length = part === '' || !(last >= first) ? 0 : Math.min(last - first + 1, 8192)
      return Array.from({ length }, (_, index) => first + index)
    }),
  )
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
  const limits = mounts.version === 2 ? await readUnified(read) : await readV1(read)
  // A v1 cpuset is never empty, a v2 one not any more once it was set: the parent's is no limit.
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
