import { join } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'

const LINK_LIMIT = 40

/**
 * Where `path` (absolute, as seen in a container) really lies below `root`, with symlinks followed as
 * if `root` were `/`: never outside. `null` when it is not there. Only for a root in which nothing
 * runs yet: somebody who changes it meanwhile could steer the answer.
 */
export async function insideRoot(
  kernel: Kernel,
  root: string,
  path: string,
): Promise<string | null> {
  const todo = parts(path)
  let real: string[] = []
  let links = 0
  for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
    if (name === '..') {
      real.pop()
      continue
    }
    const here = join(root, ...real, name)
    const target = await linkTarget(kernel, here)
    if (target === null) {
      real.push(name)
      continue
    }
    links += 1
    if (links > LINK_LIMIT)
      throw new PakError('storage', `resolve \`${path}\` in \`${root}\`: too many symlinks`)
    if (target.startsWith('/')) real = []
    todo.unshift(...parts(target))
  }
  const found = join(root, ...real)
  return (await kernel.exists(found)) ? found : null
}

const parts = (path: string): string[] =>
  path.split('/').filter((name) => name !== '' && name !== '.')

/** `null`: not a symlink, or not there. */
async function linkTarget(kernel: Kernel, path: string): Promise<string | null> {
  try {
    return await kernel.readLink(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EINVAL') return null
    throw error
  }
}
