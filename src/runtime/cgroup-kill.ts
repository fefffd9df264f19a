import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { quietWrite, requestFreeze, thaw } from './cgroup-freezer.ts'
import { type CgroupMounts, hierarchies, pathIn } from './cgroup-mounts.ts'

interface KillRequest {
  readonly mounts: CgroupMounts
  readonly path: string
  readonly signal?: AbortSignal
}

const LIMIT_MS = 10_000

/**
 * v2 has `cgroup.kill` (Linux 5.14), which no fork escapes. Elsewhere: freeze, so that nobody forks or
 * ends and gives its pid away, signal all, thaw; again until nobody is left.
 */
export async function killCgroup(kernel: Kernel, request: KillRequest): Promise<void> {
  const { mounts, path, signal } = request
  const deadline = performance.now() + LIMIT_MS
  const killFile = pathIn(mounts, 'memory', path, 'cgroup.kill')
  const atOnce = mounts.version === 2 && (await kernel.exists(killFile))
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const pids = await processesOf(kernel, mounts, path)
    if (pids.length === 0) return
    signal?.throwIfAborted()
    if (performance.now() > deadline)
      throw new PakError('timeout', `kill cgroup \`${path}\`: ${pids.length} processes do not end`)
    if (atOnce) await quietWrite(kernel, killFile, '1')
    else await killFrozen(kernel, request)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** Pids in a cgroup and below it, zombies left out by the kernel; empty when it is gone. */
export async function processesOf(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<readonly number[]> {
  const root = mounts.version === 2 ? pathIn(mounts, 'memory', '/') : killRoot(mounts)
  return processesBelow(kernel, posix.join(root, path))
}

/** On v1 any hierarchy has all processes; the freezer's is the one that is acted on. */
const killRoot = (mounts: CgroupMounts): string =>
  mounts.v1.get('freezer') ?? hierarchies(mounts)[0] ?? '/sys/fs/cgroup'

async function processesBelow(kernel: Kernel, folder: string): Promise<readonly number[]> {
  const text = await kernel.readText(posix.join(folder, 'cgroup.procs')).catch(gone)
  if (text === null) return []
  const pids = text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 1)
  for (const name of await kernel.list(folder)) {
    const below = posix.join(folder, name)
    // Control files have a dot in their names, and most have no other.
    if (/^(cgroup|memory|cpu|cpuset|pids|io|freezer|hugetlb|rdma|misc|blkio|devices)\./.test(name))
      continue
    if ((await kernel.stat(below))?.kind === 'folder')
      pids.push(...(await processesBelow(kernel, below)))
  }
  return pids
}

async function killFrozen(kernel: Kernel, { mounts, path }: KillRequest): Promise<void> {
  await requestFreeze(kernel, mounts, path)
  try {
    for (const pid of await processesOf(kernel, mounts, path)) kernel.kill(pid, 'SIGKILL')
  } finally {
    await thaw(kernel, mounts, path)
  }
}

function gone(error: unknown): null {
  if (error instanceof Error && 'code' in error && error.code === 'ENODEV') return null
  throw error
}
