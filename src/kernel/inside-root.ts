import { posix } from 'node:path'
import type { Kernel } from './kernel.ts'

/** As many as the kernel follows in one path (path_resolution(7)). */
const MAX_LINKS = 40

/**
 * The host's path of `path` as a process chrooted to `root` would see it: each link, absolute or relative,
 * is followed inside the root only. `null` past 40 links; that something is there is not promised. Only for
 * a root in which nothing runs, or where a wrong answer does no harm: who changes it meanwhile can steer it.
 */
export async function insideRoot(
  kernel: Kernel,
  root: string,
  path: string,
): Promise<string | null> {
  const pending = path.split('/')
  let inside = '/'
  let links = 0
  for (let part = pending.shift(); part !== undefined; part = pending.shift()) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      inside = posix.dirname(inside)
      continue
    }
    const next = posix.join(inside, part)
    const target = await linkTarget(kernel, posix.join(root, next))
    if (target === null) {
      inside = next
      continue
    }
    links += 1
    if (links > MAX_LINKS) return null
    if (target.startsWith('/')) inside = '/'
    pending.unshift(...target.split('/'))
  }
  return posix.join(root, inside)
}

async function linkTarget(kernel: Kernel, path: string): Promise<string | null> {
  try {
    return await kernel.readLink(path)
  } catch (error) {
    // EINVAL: it is there, and no link.
    if (error instanceof Error && 'code' in error && error.code === 'EINVAL') return null
    throw error
  }
}
