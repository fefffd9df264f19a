import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'

/** Where the host's cgroup controllers are mounted. */
export interface CgroupMounts {
  readonly version: 1 | 2
  readonly hybrid: boolean
  readonly swapAccounting: boolean
  /** v2's names: v1's `cpuacct` and `blkio` are also here under those. */
  readonly controllers: ReadonlySet<string>
  /** v1: controller (or `name=systemd`) -> mount point; v2: empty. */
  readonly v1: ReadonlyMap<string, string>
  /** Mount points of cgroup2. */
  readonly unified: readonly string[]
}

interface MountEntry {
  readonly point: string
  readonly type: string
  readonly superOptions: readonly string[]
}

const ROOT = '/sys/fs/cgroup'

/** Parses `/proc/self/mountinfo` (proc_pid_mountinfo(5)). PakError `host` when there are no cgroups. */
export async function detectMounts(kernel: Kernel): Promise<CgroupMounts> {
  const entries = parseMountinfo((await kernel.readText('/proc/self/mountinfo')) ?? '')
  const unified = entries.filter(({ type }) => type === 'cgroup2').map(({ point }) => point)
  if (unified.includes(ROOT)) return unifiedMounts(kernel, unified)
  const v1 = new Map(
    entries
      .filter(({ type }) => type === 'cgroup')
      .flatMap(({ point, superOptions }) =>
        namesOf(superOptions).map((name) => [name, point] as const),
      ),
  )
  if (v1.size === 0)
    throw new PakError('host', 'find cgroups: no hierarchy is mounted at /sys/fs/cgroup')
  const memory = v1.get('memory')
  return {
    version: 1,
    hybrid: unified.length > 0,
    swapAccounting:
      memory !== undefined &&
      (await kernel.exists(posix.join(memory, 'memory.memsw.limit_in_bytes'))),
    controllers: new Set(v1.keys()),
    v1,
    unified,
  }
}

/** Roots of all hierarchies that hold a container's cgroup, each once. */
export function hierarchies(mounts: CgroupMounts): readonly string[] {
  return mounts.version === 2 ? [ROOT] : [...new Set(mounts.v1.values())]
}

/** A file of a cgroup; on v1 in the controller's own hierarchy. */
export function pathIn(
  mounts: CgroupMounts,
  controller: string,
  ...parts: readonly string[]
): string {
  return posix.join(mounts.version === 2 ? ROOT : (mounts.v1.get(controller) ?? ROOT), ...parts)
}

async function unifiedMounts(kernel: Kernel, unified: readonly string[]): Promise<CgroupMounts> {
  const controllers = (await kernel.readText(posix.join(ROOT, 'cgroup.controllers'))) ?? ''
  return {
    version: 2,
    hybrid: false,
    // v2 has swap files wherever the kernel has swap at all, but never in the root cgroup.
    swapAccounting: await kernel.exists('/proc/swaps'),
    controllers: new Set(controllers.trim().split(' ')),
    v1: new Map(),
    unified,
  }
}

function parseMountinfo(text: string): readonly MountEntry[] {
  return text.split('\n').flatMap((line) => {
    // Optional fields of any number end with a lone dash.
    const [before = '', after = ''] = line.split(' - ')
    const point = before.split(' ')[4]
    const [type, , options = ''] = after.split(' ')
    if (point === undefined || type === undefined) return []
    return [{ point, type, superOptions: options.split(',') }]
  })
}

const NOT_NAMES = new Set(['rw', 'ro', 'xattr', 'clone_children', 'cpuset_v2_mode', 'noprefix'])
const namesOf = (options: readonly string[]): readonly string[] =>
  options.filter((name) => !NOT_NAMES.has(name) && !name.startsWith('release_agent='))
