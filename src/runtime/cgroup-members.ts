import { posix } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'
import { type CgroupMounts, hierarchies, pathIn } from './cgroup-mounts.ts'

interface Member {
  readonly mounts: CgroupMounts
  readonly path: string
  readonly pid: number
}

/** Those whose place limits a process or lets it be counted and stopped. */
const TELLING = ['memory', 'cpu', 'cpuset', 'pids', 'freezer']

/**
 * `/proc/<pid>/cgroup` (cgroups(7)): where the process is though it should be in `path` or below, as
 * `memory:/elsewhere`; `null` when it is where it should be, or is no more.
 */
export function strayed(kernel: Kernel, { mounts, path, pid }: Member): string | null {
  const text = kernel.readNow(`/proc/${pid}/cgroup`)
  if (text === null) return null
  for (const line of text.trimEnd().split('\n')) {
    const [, names = '', place = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    const telling =
      mounts.version === 2
        ? names === ''
        : names.split(',').some((name) => TELLING.includes(name) && mounts.controllers.has(name))
    if (!telling || place === path || place.startsWith(`${path}/`)) continue
    return names === '' ? place : `${names}:${place}`
  }
  return null
}

/** A process that ends meanwhile (ESRCH) is nobody's. */
export async function adopt(kernel: Kernel, { mounts, path, pid }: Member): Promise<void> {
  for (const root of hierarchies(mounts)) {
    const folder = posix.join(root, path)
    if (!(await kernel.exists(folder))) continue
    try {
      await kernel.writeText(posix.join(folder, 'cgroup.procs'), String(pid))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
}

export function limitFolders(mounts: CgroupMounts, path: string): readonly string[] {
  const controllers = ['memory', 'cpu', 'cpuset', 'pids'].filter((controller) =>
    mounts.controllers.has(controller),
  )
  return [...new Set(controllers.map((controller) => pathIn(mounts, controller, path)))]
}
