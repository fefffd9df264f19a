import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Limits } from '../model/limits.ts'
import { disksOf } from './cgroup-disks.ts'
import { pageSizes } from './cgroup-facts.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'
import { beyond } from './cpu-list.ts'

/** Which of these limits the kernel cannot enforce, each with its reason: `memory_high: cgroup v1 has none`. */
export async function lacking(
  kernel: Kernel,
  mounts: CgroupMounts,
  limits: Limits,
): Promise<readonly string[]> {
  const host: Host = { kernel, mounts }
  const found = await Promise.all([
    controllers(mounts, limits),
    swapAndPressure(mounts, limits),
    burst(host, limits),
    cpuset(host, limits),
    io(host, limits),
    ioWeight(host, limits),
    hugepages(host, limits),
  ])
  return found.flat()
}

interface Host {
  readonly kernel: Kernel
  readonly mounts: CgroupMounts
}

function controllers(mounts: CgroupMounts, limits: Limits): readonly string[] {
  const io = mounts.version === 2 ? 'io' : 'blkio'
  const needs = [
    ['cpu', 'cpu', limits.cpuMillis],
    ['cpu', 'cpu_weight', limits.cpuWeight],
    ['cpuset', 'cpuset', limits.cpuset],
    ['memory', 'memory', limits.memoryBytes],
    ['memory', 'memory_high', limits.memoryHighBytes],
    ['memory', 'memory_reservation', limits.memoryReservationBytes],
    ['pids', 'pids', limits.pids],
    [io, 'io', limits.io[0] ?? null],
    [io, 'io_weight', limits.ioWeight],
    ['hugetlb', 'hugepages', Object.keys(limits.hugepages)[0] ?? null],
  ] as const
  return needs.flatMap(([controller, word, value]) =>
    value === null || mounts.controllers.has(controller)
      ? []
      : `${word}: its cgroups (v${mounts.version}) have no controller ${controller}`,
  )
}

function swapAndPressure(mounts: CgroupMounts, limits: Limits): readonly string[] {
  const reasons: string[] = []
  // Where swap is not even accounted for it cannot be limited, but none is as good as zero.
  if (limits.swapBytes !== null && limits.swapBytes > 0 && !mounts.swapAccounting)
    reasons.push('swap: its kernel does not account for swap')
  if (limits.memoryHighBytes !== null && mounts.version === 1)
    reasons.push('memory_high: cgroup v1 has no such limit')
  if (limits.swappiness !== null && mounts.version === 2)
    reasons.push('swappiness: cgroup v2 has none for a single cgroup')
  return reasons
}

async function burst({ kernel, mounts }: Host, limits: Limits): Promise<readonly string[]> {
  if (limits.cpuBurstMillis === null || !mounts.controllers.has('cpu')) return []
  const file = mounts.version === 2 ? 'cpu.max.burst' : 'cpu.cfs_burst_us'
  const there = await offers({ kernel, mounts }, file, 'cpu.stat')
  return there ? [] : ['cpu_burst: its kernel is older than 5.14']
}

async function cpuset({ kernel, mounts }: Host, limits: Limits): Promise<readonly string[]> {
  if (limits.cpuset === null || !mounts.controllers.has('cpuset')) return []
  const read = (file: string) => kernel.readText(pathIn(mounts, 'cpuset', file))
  const all = (await read('cpuset.cpus.effective')) ?? (await read('cpuset.effective_cpus'))
  const missing = all === null ? '' : beyond(limits.cpuset, all)
  return missing === '' ? [] : [`cpuset ${limits.cpuset}: it has no CPU ${missing}`]
}

async function io({ kernel, mounts }: Host, limits: Limits): Promise<readonly string[]> {
  const controller = mounts.version === 2 ? 'io' : 'blkio'
  if (limits.io.length === 0 || !mounts.controllers.has(controller)) return []
  const file = mounts.version === 2 ? 'io.max' : 'blkio.throttle.read_bps_device'
  if (!(await offers({ kernel, mounts }, file, 'io.stat')))
    return ['io: its kernel is built without throttling of disks']
  const found = await Promise.all(
    limits.io.map((limit) =>
      disksOf(kernel, [limit]).then(
        () => null,
        (error: unknown) => {
          if (error instanceof PakError) return `io: ${error.message}`
          throw error
        },
      ),
    ),
  )
  return found.flatMap((reason) => reason ?? [])
}

/** A weight is only heeded by the scheduler BFQ, or by iocost where that has been switched on. */
async function ioWeight({ kernel, mounts }: Host, limits: Limits): Promise<readonly string[]> {
  const controller = mounts.version === 2 ? 'io' : 'blkio'
  if (limits.ioWeight === null || !mounts.controllers.has(controller)) return []
  const disks = await kernel.list('/sys/block')
  const schedulers = await Promise.all(
    disks.map((disk) => kernel.readText(`/sys/block/${disk}/queue/scheduler`)),
  )
  if (schedulers.some((text) => text?.includes('[bfq]'))) return []
  const cost =
    mounts.version === 2 ? await kernel.readText(pathIn(mounts, 'io', 'io.cost.qos')) : ''
  if (cost?.includes('enable=1')) return []
  return ['io_weight: none of its disks is scheduled by bfq (/sys/block/*/queue/scheduler)']
}

async function hugepages({ kernel, mounts }: Host, limits: Limits): Promise<readonly string[]> {
  const wanted = Object.keys(limits.hugepages)
  if (wanted.length === 0 || !mounts.controllers.has('hugetlb')) return []
  const sizes = await pageSizes(kernel)
  return wanted
    .filter((size) => !sizes.includes(size))
    .map((size) => `hugepages ${size}: it has ${sizes.join(', ') || 'none'}`)
}

/**
 * Whether cgroups have a file. Many are not in the root but in all others: those that have the controller
 * (`witness`) tell. Where there is no other cgroup yet nothing is known against it.
 */
async function offers({ kernel, mounts }: Host, file: string, witness: string): Promise<boolean> {
  const controller = file.slice(0, file.indexOf('.'))
  const root = pathIn(mounts, controller)
  if (await kernel.exists(posix.join(root, file))) return true
  for (const name of await kernel.list(root)) {
    if (await kernel.exists(posix.join(root, name, file))) return true
    if (await kernel.exists(posix.join(root, name, witness))) return false
  }
  return true
}
