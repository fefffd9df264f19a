import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { type CgroupMounts, pathIn } from './cgroup-mounts.ts'

/** A task in the middle of a long wait for a disk stands still only after it. */
const LIMIT_MS = 10_000

/** What the kernel says: `freezer.state` on v1, `frozen` of `cgroup.events` on v2 (cgroups(7)). */
export function isFrozen(kernel: Kernel, mounts: CgroupMounts, path: string): boolean {
  if (!hasFreezer(mounts)) return false
  if (mounts.version === 1)
    return kernel.readNow(pathIn(mounts, 'freezer', path, 'freezer.state'))?.trim() === 'FROZEN'
  const events = kernel.readNow(pathIn(mounts, 'memory', path, 'cgroup.events'))
  return /^frozen 1$/m.test(events ?? '')
}

/** Returns when every process in there stands still; what could not be frozen in time goes on. */
export async function freeze(kernel: Kernel, mounts: CgroupMounts, path: string): Promise<void> {
  if (!hasFreezer(mounts))
    throw new PakError('host', `freeze cgroup \`${path}\`: the kernel has no freezer`)
  const deadline = performance.now() + LIMIT_MS
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    // On v1 a fork under way can escape the first time: FREEZING until it is written once more.
    await requestFreeze(kernel, mounts, path)
    if (isFrozen(kernel, mounts, path)) return
    if (performance.now() > deadline) break
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await thaw(kernel, mounts, path)
  throw new PakError('timeout', `freeze cgroup \`${path}\`: not all of it stands still`)
}

/** Reading first is a tenth of the time, and hardly any container is frozen. */
export async function thaw(kernel: Kernel, mounts: CgroupMounts, path: string): Promise<void> {
  const file = requestFile(mounts, path)
  if (file === null) return
  const thawed = mounts.version === 2 ? '0' : 'THAWED'
  const now = kernel.readNow(file)
  if (now !== null && now.trim() !== thawed) await quietWrite(kernel, file, thawed)
}

/** Ask for it, and do not wait. */
export async function requestFreeze(
  kernel: Kernel,
  mounts: CgroupMounts,
  path: string,
): Promise<void> {
  const file = requestFile(mounts, path)
  if (file !== null) await quietWrite(kernel, file, mounts.version === 2 ? '1' : 'FROZEN')
}

/** A cgroup that vanishes meanwhile is what was wanted. */
export async function quietWrite(kernel: Kernel, path: string, text: string): Promise<void> {
  try {
    await kernel.writeText(path, text)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    // Opening for writing would make the file, which a cgroup that is half gone refuses.
    if (code !== 'ENODEV' && code !== 'ENOENT' && code !== 'EACCES' && code !== 'EPERM') throw error
  }
}

const hasFreezer = ({ version, controllers }: CgroupMounts): boolean =>
  version === 2 || controllers.has('freezer')

/** `null`: the kernel has no freezer. */
function requestFile(mounts: CgroupMounts, path: string): string | null {
  if (mounts.version === 2) return pathIn(mounts, 'memory', path, 'cgroup.freeze')
  return hasFreezer(mounts) ? pathIn(mounts, 'freezer', path, 'freezer.state') : null
}
