import { posix } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'
import { type LimitTarget, parentCpus } from './cgroup-facts.ts'
import { pathIn } from './cgroup-mounts.ts'
import { cpuList, cpusOf } from './cpu-list.ts'
import { cpuQuota } from './resources.ts'

/**
 * Before a cgroup that holds others gets less: v1 refuses a parent less than a child has. Children with more
 * come down to what their parent is about to have; a raise of their own comes after the parent's. Those that run
 * on all of the parent's CPUs go along with it.
 */
export async function makeRoom(kernel: Kernel, target: LimitTarget): Promise<void> {
  const { mounts } = target
  if (mounts.version === 1 && mounts.controllers.has('cpu')) await lowerQuotas(kernel, target)
  if (mounts.controllers.has('cpuset')) await moveCpus(kernel, target)
}

async function lowerQuotas(kernel: Kernel, target: LimitTarget): Promise<void> {
  const { cpuMillis } = target.limits
  if (cpuMillis === null) return
  const ceiling = cpuQuota(cpuMillis)
  for (const child of await childrenOf(kernel, target, 'cpu')) {
    const read = async (file: string) =>
      Number((await kernel.readText(posix.join(child, file))) ?? -1)
    const [quota, period] = [await read('cpu.cfs_quota_us'), await read('cpu.cfs_period_us')]
    if (quota < 0 || quota / period <= ceiling.quota / ceiling.period) continue
    const lower = Math.max(1000, Math.floor((ceiling.quota * period) / ceiling.period))
    if ((await read('cpu.cfs_burst_us')) > lower)
      await kernel.writeText(posix.join(child, 'cpu.cfs_burst_us'), '0')
    await kernel.writeText(posix.join(child, 'cpu.cfs_quota_us'), String(lower))
  }
}

async function moveCpus(kernel: Kernel, target: LimitTarget): Promise<void> {
  const { mounts, path, limits } = target
  const own = pathIn(mounts, 'cpuset', path, 'cpuset.cpus')
  const effective = mounts.version === 2 ? 'cpuset.cpus.effective' : 'cpuset.cpus'
  const before = ((await kernel.readText(pathIn(mounts, 'cpuset', path, effective))) ?? '').trim()
  const after = limits.cpuset ?? (await parentCpus(kernel, target))
  if (before === '' || after === '' || before === after) return
  const wanted = cpusOf(after)
  // What is between the two must hold both, as no cgroup may be without a CPU of its parent.
  if (mounts.version === 1) await kernel.writeText(own, cpuList([...cpusOf(before), ...wanted]))
  for (const child of await childrenOf(kernel, target, 'cpuset')) {
    const file = posix.join(child, 'cpuset.cpus')
    const has = ((await kernel.readText(file)) ?? '').trim()
    if (has === '' || (mounts.version === 2 && has !== before)) continue
    const kept = cpuList([...cpusOf(has)].filter((cpu) => wanted.has(cpu)))
    const next = has === before || kept === '' ? after : kept
    await kernel.writeText(file, next)
  }
}

async function childrenOf(
  kernel: Kernel,
  { mounts, path }: LimitTarget,
  controller: string,
): Promise<readonly string[]> {
  const folder = pathIn(mounts, controller, path)
  const folders = await Promise.all(
    (await kernel.list(folder)).map(async (name) => {
      const below = posix.join(folder, name)
      return (await kernel.stat(below))?.kind === 'folder' ? [below] : []
    }),
  )
  return folders.flat()
}
