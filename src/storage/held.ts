import { constants } from 'node:fs'
import { type FileHandle, open, readlink } from 'node:fs/promises'
import { PakError } from '../errors.ts'

const LINK_LIMIT = 40
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/**
 * A root in which strangers are at work, and the folders in it that are open. Every step is taken from a
 * folder that is held open and follows no link by itself; links are read and walked as if the root were
 * `/`. That is what openat2(2) does with RESOLVE_IN_ROOT, which Node cannot call.
 */
export class HeldRoot implements AsyncDisposable {
  readonly #root: FileHandle
  readonly #opened = new Set<FileHandle>()

  private constructor(root: FileHandle) {
    this.#root = root
    this.#opened.add(root)
  }

  static async open(path: string): Promise<HeldRoot> {
    return new HeldRoot(await open(path, constants.O_RDONLY | constants.O_DIRECTORY))
  }

  /** The folder at a path below the root, or below others; `null` when there is none. */
  async folder(path: string, from: readonly FileHandle[] = []): Promise<Stack | null> {
    const ahead = partsOf(path)
    let stack: Stack = from.length === 0 ? [this.#root] : from
    let links = 0
    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      if (name === '..') {
        if (stack.length > 1) stack = stack.slice(0, -1)
        continue
      }
      const link = await linkIn(topOf(stack), name)
      if (link !== null) {
        links += 1
        if (links > LINK_LIMIT)
          throw new PakError('storage', `resolve \`${shown(path)}\`: too many symlinks`)
        if (link.startsWith('/')) stack = [this.#root]
        ahead.unshift(...partsOf(link))
        continue
      }
      const next = await this.#enter(topOf(stack), name)
      if (next === null) return null
      stack = [...stack, next]
    }
    return stack
  }

  /** Close what was opened since, but for what these need. */
  async keepOnly(stack: Stack): Promise<void> {
    for (const handle of this.#opened) {
      if (handle === this.#root || stack.includes(handle)) continue
      this.#opened.delete(handle)
      await handle.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#opened) await handle.close()
    this.#opened.clear()
  }

  async #enter(folder: FileHandle, name: string): Promise<FileHandle | null> {
    try {
      const handle = await open(below(folder, name), FOLDER)
      this.#opened.add(handle)
      return handle
    } catch (error) {
      const code = codeOf(error)
      // ELOOP: it has become a link since it was looked at.
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return null
      throw error
    }
  }
}

/** Open folders from the root down; the last one is meant. Never empty. */
export type Stack = readonly FileHandle[]

export function topOf(stack: Stack): FileHandle {
  const top = stack.at(-1)
  if (top === undefined) throw new Error('held: an empty stack')
  return top
}

/** A path for system calls: the kernel goes from the open folder, and not by names above it. */
export const below = (folder: FileHandle, name: string): Buffer =>
  Buffer.from(`/proc/self/fd/${folder.fd}/${name}`, 'latin1')

export const partsOf = (path: string): string[] =>
  path.split('/').filter((part) => part !== '' && part !== '.')

export const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : null

const shown = (path: string): string => Buffer.from(path, 'latin1').toString('utf8')

/** `null`: no link, or nothing there. */
async function linkIn(folder: FileHandle, name: string): Promise<string | null> {
  try {
    return (await readlink(below(folder, name), { encoding: 'buffer' })).toString('latin1')
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EINVAL' || code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}
