import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { hasOwnMounts } from '../kernel/mount.ts'
import type { Limits } from '../model/limits.ts'
import { type ExecCgroup, execCgroups, makeExecCgroup } from './cgroup-exec.ts'
import { freeze, isFrozen, thaw } from './cgroup-freezer.ts'
import { killCgroup, processesOf } from './cgroup-kill.ts'
import { lacking } from './cgroup-lacking.ts'
import { driftedLimits, type ReadableLimits, readLimits, writeLimits } from './cgroup-limits.ts'
import { adopt, limitFolders, strayed } from './cgroup-members.ts'
import { type CgroupMounts, detectMounts, hierarchies, pathIn } from './cgroup-mounts.ts'
import { makeRoom } from './cgroup-room.ts'
import { type CgroupUsage, readCpuUsec, readOomKills, readUsage } from './cgroup-usage.ts'

/**
 * The host's control groups, whichever interface it has. Paths are relative to the hierarchies' roots and
 * begin with a slash: `/pak/shop/shop-web-1`. A cgroup that is gone has used nothing and holds nobody.
 */
export interface CgroupHost {
  /** Which interface the controllers are bound to; a hybrid host is 1. */
  readonly version: 1 | 2
  /** Whether a cgroup2 tree without (most) controllers stands beside v1. */
  readonly hybrid: boolean
  readonly swapAccounting: boolean
  /** Which of these limits the kernel cannot enforce, in the manifest's words with the reason; empty: none. */
  lacking(limits: Limits): Promise<readonly string[]>
  /** Make a cgroup that holds other cgroups, its parents included, or bring its limits up to date. */
  ensureParent(path: string, limits: Limits): Promise<void>
  /** Remove it with all that is below, deepest first. PakError `conflict` when processes are in there. */
  removeParent(path: string): Promise<void>
  /** Write limits into a cgroup that runs: same processes. `null` takes a limit off. */
  update(path: string, limits: Limits): Promise<void>
  /** v2: memory of a cgroup of cgroups that is taken away last; one that is gone needs none. */
  reserve(path: string, bytes: number): Promise<void>
  /** What the kernel enforces now (a cpuset like the parent's reads as none); `null` when there is no such cgroup. */
  limits(path: string): Promise<ReadableLimits | null>
  /** What the kernel has otherwise than these limits: somebody else wrote there. One fact for each file. */
  drift(path: string, limits: Limits): Promise<readonly string[]>
  /** Where a process is instead of this cgroup or one below it; `null`: it is there, or gone. Costs one read. */
  strayed(path: string, pid: number): string | null
  /** Put a process into the cgroup, in every hierarchy. */
  adopt(path: string, pid: number): Promise<void>
  /** Folders of a cgroup whose files hold its limits, in every hierarchy: for watching them. */
  folders(path: string): readonly string[]
  /** Of all in there; `null` when there is no such cgroup. Waits for nothing. */
  usage(path: string): CgroupUsage | null
  /** Only the CPU time of it, in microseconds. */
  cpuUsec(path: string): number | null
  /** Processes that the kernel killed in there for memory, ever. */
  oomKills(path: string): Promise<number>
  pids(path: string): Promise<readonly number[]>
  /** v2: make a cgroup in there for a further process, without limits of its own, and return its folder. */
  makeExec(path: string, name: string): Promise<string>
  /** Those of them that somebody is in; none on v1. */
  execs(path: string): Promise<readonly ExecCgroup[]>
  /** Whether its processes get no time, because it or a cgroup above it is frozen. */
  isFrozen(path: string): boolean
  /** Resolves when all of its processes stand still. PakError `host` where the kernel has no freezer. */
  freeze(path: string): Promise<void>
  /** Let them go on. What is not frozen, or gone, is success. */
  thaw(path: string): Promise<void>
  /** SIGKILL to everything in there, forks under way included, until nobody is left. */
  killAll(path: string, signal?: AbortSignal): Promise<void>
}

const CGROUP_ROOT = '/sys/fs/cgroup'
const UNIFIED = posix.join(CGROUP_ROOT, 'unified')
const REMOVE_LIMIT_MS = 2000
const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'io', 'hugetlb']

/** Reads the mount table of pak's own mount namespace. PakError `host` when no cgroups are mounted. */
export async function detectCgroups(kernel: Kernel): Promise<CgroupHost> {
  const mounts = await detectMounts(kernel)
  return {
    version: mounts.version,
    hybrid: mounts.hybrid,
    swapAccounting: mounts.swapAccounting,
    lacking: (limits) => lacking(kernel, mounts, limits),
    ensureParent: async (path, limits) => {
      await makeParent(kernel, mounts, path)
      await makeRoom(kernel, { mounts, path, limits })
      await writeLimits(kernel, { mounts, path, limits })
    },
    removeParent: (path) => removeTree(kernel, mounts, path),
    update: (path, limits) => writeLimits(kernel, { mounts, path, limits }),
    reserve: (path, bytes) => reserve(kernel, pathIn(mounts, 'memory', path, 'memory.low'), bytes),
    limits: (path) => readLimits(kernel, mounts, path),
    drift: (path, limits) => driftedLimits(kernel, { mounts, path, limits }),
    strayed: (path, pid) => strayed(kernel, { mounts, path, pid }),
    adopt: (path, pid) => adopt(kernel, { mounts, path, pid }),
    folders: (path) => limitFolders(mounts, path),
    usage: (path) => readUsage(kernel, mounts, path),
    cpuUsec: (path) => readCpuUsec(kernel, mounts, path),
    oomKills: (path) => readOomKills(kernel, mounts, path),
    pids: (path) => processesOf(kernel, mounts, path),
    makeExec: (path, name) => makeExecCgroup(kernel, mounts, { path, name }),
    execs: (path) => execCgroups(kernel, mounts, path),
    isFrozen: (path) => isFrozen(kernel, mounts, path),
    freeze: (path) => freeze(kernel, mounts, path),
    thaw: (path) => thaw(kernel, mounts, path),
    killAll: (path, signal) => killCgroup(kernel, { mounts, path, ...(signal && { signal }) }),
  }
}

/**
 * For the agent in its own mount namespace on a hybrid host: cover the cgroup2 tree with an empty tmpfs,
 * as crun refuses to run beside one that has controllers, and takes a plain folder there for its own. Never
 * touches the mount namespace that pid 1 sees; then, and on hosts that are not hybrid, it does nothing
 * and says false.
 */
export async function enterHostView(kernel: Kernel): Promise<boolean> {
  if (!(await hasOwnMounts(kernel))) return false
  if (!(await detectMounts(kernel)).unified.includes(UNIFIED)) return false
  await runMount(kernel, 'umount', [UNIFIED])
  // crun leaves a page for each cgroup path that it ever used here.
  const options = 'size=64m,mode=755,nosuid,nodev,noexec'
  await runMount(kernel, 'mount', ['-t', 'tmpfs', '-o', options, 'pak', UNIFIED])
  return true
}

async function runMount(kernel: Kernel, tool: string, args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await kernel.run(tool, args)
  if (exitCode !== 0) throw new PakError('host', `${tool} \`${UNIFIED}\`: ${stderr.trim()}`)
}

async function reserve(kernel: Kernel, file: string, bytes: number): Promise<void> {
  const now = await kernel.readText(file)
  if (now !== null && now.trim() !== String(bytes)) await kernel.writeText(file, String(bytes))
}

/** Each level in turn: on v2 a controller works in a cgroup only when all its parents hand it down. */
async function makeParent(kernel: Kernel, mounts: CgroupMounts, path: string): Promise<void> {
  const parts = path.split('/').filter((part) => part !== '')
  for (const [index] of parts.entries()) {
    const level = `/${parts.slice(0, index + 1).join('/')}`
    for (const root of hierarchies(mounts)) await kernel.makeFolder(posix.join(root, level))
    if (mounts.version === 1) await fillCpuset(kernel, mounts, level)
    else await handDown(kernel, mounts, index === 0 ? '/' : `/${parts.slice(0, index).join('/')}`)
  }
  if (mounts.version === 2) await handDown(kernel, mounts, path)
}

async function handDown(kernel: Kernel, mounts: CgroupMounts, path: string): Promise<void> {
  const control = pathIn(mounts, 'memory', path, 'cgroup.subtree_control')
  const available = await kernel.readText(pathIn(mounts, 'memory', path, 'cgroup.controllers'))
  const given = new Set((await kernel.readText(control))?.trim().split(' '))
  const wanted = (available ?? '')
    .trim()
    .split(' ')
    .filter((name) => CONTROLLERS.includes(name) && !given.has(name))
  if (wanted.length > 0) await kernel.writeText(control, wanted.map((name) => `+${name}`).join(' '))
}

/** A new v1 cpuset is empty and takes no process: it begins with what its parent has. */
async function fillCpuset(kernel: Kernel, mounts: CgroupMounts, level: string): Promise<void> {
  if (!mounts.controllers.has('cpuset')) return
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const own = pathIn(mounts, 'cpuset', level, file)
    if ((await kernel.readText(own))?.trim() !== '') continue
    const parent = await kernel.readText(pathIn(mounts, 'cpuset', posix.dirname(level), file))
    if (parent !== null) await kernel.writeText(own, parent.trim())
  }
}

async function removeTree(kernel: Kernel, mounts: CgroupMounts, path: string): Promise<void> {
  const deadline = performance.now() + REMOVE_LIMIT_MS
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 100)) {
    const gone = await Promise.all(
      hierarchies(mounts).map((root) => removeBelow(kernel, posix.join(root, path))),
    )
    if (gone.every(Boolean)) return
    if (performance.now() > deadline)
      throw new PakError('conflict', `remove cgroup \`${path}\`: processes are still in it`)
    // A process that has just been killed holds its cgroup until it has been reaped.
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

async function removeBelow(kernel: Kernel, folder: string): Promise<boolean> {
  for (const name of await kernel.list(folder)) {
    const below = posix.join(folder, name)
    if ((await kernel.stat(below))?.kind === 'folder') await removeBelow(kernel, below)
  }
  return kernel.removeFolder(folder)
}
