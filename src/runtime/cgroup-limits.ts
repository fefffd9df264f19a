import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Limits } from '../model/limits.ts'
import { type LimitTarget, limitSettings, parentCpus, settingsToCompare } from './cgroup-facts.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { DEFAULT_PERIOD, DEFAULT_WEIGHT, type Setting } from './cgroup-settings.ts'
import { cpuList, cpusOf } from './cpu-list.ts'
import { sharesOfWeight } from './resources.ts'

/** Above this v1 reports "no limit": LONG_MAX rounded down to a page. */
const V1_UNLIMITED = 2 ** 62

/**
 * Makes a cgroup's limits exactly these. Written straight into the kernel's files: the OCI runtimes'
 * `update` cannot take a limit off again, and each wants its own order. PakError `host` tells what the
 * kernel refused, for example less memory than cannot be reclaimed.
 */
export async function writeLimits(kernel: Kernel, target: LimitTarget): Promise<void> {
  let left = changes(kernel, target, await limitSettings(kernel, target))
  // Some pairs (memory and its sum with swap, quota and burst) are taken in one order only, which depends on
  // what is there: what is refused gets its turn again after the others.
  while (left.length > 0) {
    const refused: { readonly change: Change; readonly error: unknown }[] = []
    for (const change of left) {
      const error = await write(kernel, change)
      if (error !== null) refused.push({ change, error })
    }
    if (refused.length === left.length) throw refused[0]?.error
    left = refused.map(({ change }) => change)
  }
}

/** What the kernel has otherwise than these limits, because somebody wrote into its files: a fact for each file. */
export async function driftedLimits(
  kernel: Kernel,
  target: LimitTarget,
): Promise<readonly string[]> {
  const found = changes(kernel, target, await settingsToCompare(kernel, target))
  return found.flatMap(({ file, now, value }) =>
    now === null ? [] : `${file} was ${now.trim() || 'empty'}, should be ${value || 'empty'}`,
  )
}

function changes(
  kernel: Kernel,
  target: LimitTarget,
  settings: readonly Setting[],
): readonly Change[] {
  const { mounts } = target
  return settings.flatMap((setting) => {
    if (!mounts.controllers.has(setting.controller)) return []
    const path = pathIn(mounts, setting.controller, target.path, setting.file)
    const now = currentOf(kernel.readNow(path), setting)
    if (now === null && setting.unset === true) return []
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

/** What a file says about this setting; `null` when it is not there. */
function currentOf(text: string | null, { row }: Setting): string | null {
  if (text === null) return null
  if (row === undefined) return text
  return text.split('\n').find((line) => line.startsWith(`${row.name} `)) ?? row.unset
}

const PAGE_BYTES = 4096
const IN_BYTES: ReadonlySet<keyof Limits> = new Set([
  'memoryBytes',
  'memoryHighBytes',
  'memoryReservationBytes',
  'swapBytes',
  'hugepages',
])

/** As the kernel would say it: bytes of memory in whole pages, no limit as `max`. */
function comparable(text: string, key: keyof Limits): string {
  const trimmed = text.trim()
  if (trimmed === 'max' || trimmed === '-1') return 'max'
  if (key === 'cpuset') return cpuList(cpusOf(trimmed))
  // `default 100`, and a line for each disk that has a weight of its own.
  if (key === 'ioWeight') return trimmed.split('\n')[0]?.replace(/^default /, '') ?? ''
  if (!IN_BYTES.has(key)) return trimmed
  const bytes = Number(trimmed)
  return bytes >= V1_UNLIMITED ? 'max' : String(Math.floor(bytes / PAGE_BYTES) * PAGE_BYTES)
}

/** The limits that both versions of cgroups have in one number, read back. */
export type ReadableLimits = Pick<
  Limits,
  'cpuMillis' | 'cpuWeight' | 'cpuset' | 'memoryBytes' | 'swapBytes' | 'pids'
>

/** The limits that the kernel has for a cgroup now; `null` when it is gone. */
export async function readLimits(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<ReadableLimits | null> {
  const read = async (controller: string, file: string) =>
    (await kernel.readText(pathIn(mounts, controller, path, file)))?.trim() ?? null
  if (!(await kernel.exists(pathIn(mounts, 'memory', path)))) return null
  const limits = mounts.version === 2 ? await readUnified(read) : await readV1(read)
  // A v1 cpuset is never empty, a v2 one not any more once it was set: the parent's is no limit.
  const inherited = limits.cpuset === (await parentCpus(kernel, { mounts, path }))
  return inherited ? { ...limits, cpuset: null } : limits
}

type Read = (controller: string, file: string) => Promise<string | null>

async function readUnified(read: Read): Promise<ReadableLimits> {
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

async function readV1(read: Read): Promise<ReadableLimits> {
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

/** The reason why the kernel does not take it; `null`: it did. */
async function write(kernel: Kernel, { path, value }: Change): Promise<PakError | null> {
  try {
    // An empty write never reaches the kernel; a lone newline does, and clears a list.
    await kernel.writeText(path, value === '' ? '\n' : value)
    return null
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    const busy = error.code === 'EBUSY' ? 'more than that is in use and cannot be reclaimed' : null
    const parent =
      error.code === 'EINVAL' ? 'the kernel refuses the value (past what the parent has?)' : null
    const reason = busy ?? parent ?? error.message
    return new PakError('host', `write ${value} to \`${path}\`: ${reason}`, { cause: error })
  }
}
