import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Limits } from '../model/limits.ts'
import { disksOf } from './cgroup-disks.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { type Setting, type SettingFacts, unifiedSettings, v1Settings } from './cgroup-settings.ts'

/** What is to be written where, so that a cgroup has these limits and no others. */
export interface LimitTarget {
  readonly mounts: CgroupMounts
  readonly path: string
  readonly limits: Limits
}

/** In the order in which they are written. PakError `host` when a path has no disk. */
export async function limitSettings(
  kernel: Kernel,
  target: LimitTarget,
): Promise<readonly Setting[]> {
  const facts = await settingFacts(kernel, target)
  const settings = target.mounts.version === 2 ? unifiedSettings : v1Settings
  return settings(target.limits, facts)
}

/**
 * The same to compare with what is there: a disk that is not to be found any more is no reason to look at
 * nothing else.
 */
export async function settingsToCompare(
  kernel: Kernel,
  target: LimitTarget,
): Promise<readonly Setting[]> {
  try {
    return await limitSettings(kernel, target)
  } catch (error) {
    if (!(error instanceof PakError)) throw error
    const without = { ...target, limits: { ...target.limits, io: [] } }
    return (await limitSettings(kernel, without)).filter(({ key }) => key !== 'io')
  }
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

/** `2MB`, `1GB`: as the kernel calls the page sizes that it has. */
export async function pageSizes(kernel: Kernel): Promise<readonly string[]> {
  const names = await kernel.list('/sys/kernel/mm/hugepages')
  return names.flatMap((name) => {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1])
    if (!(kib > 0)) return []
    if (kib >= 2 ** 20) return `${kib / 2 ** 20}GB`
    return kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`
  })
}

async function settingFacts(kernel: Kernel, target: LimitTarget): Promise<SettingFacts> {
  const { mounts, path, limits } = target
  const [anyCpus, disks, limitedDisks, sizes, swappiness] = await Promise.all([
    freeCpus(kernel, target),
    disksOf(kernel, limits.io),
    limitedNow(kernel, target),
    mounts.controllers.has('hugetlb') ? pageSizes(kernel) : [],
    mounts.version === 2
      ? null
      : kernel.readNow(pathIn(mounts, 'memory', path, '..', 'memory.swappiness')),
  ])
  return {
    anyCpus,
    swapAccounting: mounts.swapAccounting,
    disks,
    limitedDisks,
    pageSizes: sizes,
    swappiness: Number(swappiness ?? 60),
  }
}

/** On v2 a list once set cannot be emptied while processes run (ENOSPC): then the parent's means no limit. */
async function freeCpus(kernel: Kernel, target: LimitTarget): Promise<string> {
  if (target.limits.cpuset !== null) return target.limits.cpuset
  if (target.mounts.version === 1) return parentCpus(kernel, target)
  const own = kernel.readNow(pathIn(target.mounts, 'cpuset', target.path, 'cpuset.cpus'))
  return (own ?? '').trim() === '' ? '' : parentCpus(kernel, target)
}

const TABLES = {
  1: ['read_bps', 'write_bps', 'read_iops', 'write_iops'].map(
    (name) => `blkio.throttle.${name}_device`,
  ),
  2: ['io.max'],
} as const

async function limitedNow(
  kernel: Kernel,
  { mounts, path }: LimitTarget,
): Promise<readonly string[]> {
  const controller = mounts.version === 2 ? 'io' : 'blkio'
  if (!mounts.controllers.has(controller)) return []
  const texts = TABLES[mounts.version].map((file) =>
    kernel.readNow(pathIn(mounts, controller, path, file)),
  )
  return [...new Set(texts.flatMap((text) => (text ?? '').match(/^\d+:\d+(?= )/gm) ?? []))].sort()
}
