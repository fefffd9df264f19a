import * as fs from 'node:fs'
import { invalidImage } from './json.ts'

const LINK_LIMIT = 40
/** A million folders must not become a million remembered names. */
const REMEMBERED = 50_000

/**
 * The folder that a layer is unpacked into, and the only way to a path in it. Every folder on the way
 * is looked at (lstat) before it is used; a symlink is followed as if the layer were `/`, so nothing
 * leads out. That holds without openat2(2), because the folder is private to root and this process
 * alone changes it, one synchronous step after the other. Paths are bytes (latin1), without leading `/`.
 */
export class LayerTree {
  readonly #root: Buffer
  /** Known to be real folders, by their real path. */
  readonly #folders = new Set<string>()

  constructor(folder: string) {
    this.#root = Buffer.from(folder)
  }

  /** For system calls. `path` is a real path: what `resolve` or `place` returned. */
  at(path: string): Buffer {
    return path === '' ? this.#root : Buffer.concat([this.#root, Buffer.from(`/${path}`, 'latin1')])
  }

  stat(path: string): fs.Stats | null {
    try {
      return fs.lstatSync(this.at(path))
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
      throw error
    }
  }

  /** Where an entry of this name goes: its folder is real, and made where it is missing. */
  place(parts: readonly string[]): string {
    const name = parts.at(-1)
    return name === undefined ? '' : join(this.#walk(parts.slice(0, -1), true) ?? '', name)
  }

  /** As `place`, but makes nothing; `null` when the folder is not there. */
  find(parts: readonly string[]): string | null {
    const name = parts.at(-1)
    if (name === undefined) return ''
    const parent = this.#walk(parts.slice(0, -1), false)
    return parent === null ? null : join(parent, name)
  }

  makeFolder(path: string): void {
    fs.mkdirSync(this.at(path), 0o755)
    this.#remember(path)
  }

  /** Whatever is at the path, gone; symlinks are removed, never followed. */
  remove(path: string): void {
    this.#folders.clear()
    fs.rmSync(this.at(path), { recursive: true, force: true })
  }

  #walk(parts: readonly string[], make: boolean): string | null {
    const ahead = [...parts]
    let real = ''
    let links = 0
    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      if (name === '..') {
        real = real.slice(0, Math.max(real.lastIndexOf('/'), 0))
        continue
      }
      const here = join(real, name)
      const kind = this.#kind(here)
      if (kind === 'none' && !make) return null
      if (kind === 'none') this.makeFolder(here)
      if (kind === 'other') throw invalidImage(shown(here), 'is used as a folder, and is none')
      if (kind !== 'link') {
        real = here
        continue
      }
      links += 1
      if (links > LINK_LIMIT) throw invalidImage(shown(here), 'has too many symlinks on its way')
      const target = fs.readlinkSync(this.at(here), 'latin1')
      if (target.startsWith('/')) real = ''
      ahead.unshift(...split(target))
    }
    return real
  }

  #kind(path: string): 'folder' | 'link' | 'other' | 'none' {
    if (this.#folders.has(path)) return 'folder'
    const found = this.stat(path)
    if (found === null) return 'none'
    if (found.isSymbolicLink()) return 'link'
    if (!found.isDirectory()) return 'other'
    this.#remember(path)
    return 'folder'
  }

  #remember(path: string): void {
    if (this.#folders.size >= REMEMBERED) this.#folders.clear()
    this.#folders.add(path)
  }
}

/** The parts of a name in an archive; a leading `/` or `./` means the same as none. `..` is refused. */
export function archiveParts(name: string): readonly string[] {
  const parts = split(name)
  if (parts.includes('..')) throw invalidImage(shown(name), 'is a path that leads out of the layer')
  if (name.length > 4095 || parts.some((part) => part.length > 255))
    throw invalidImage(`${shown(name).slice(0, 80)}...`, 'is longer than a path can be')
  return parts
}

/** Bytes as text, for messages. */
export const shown = (path: string): string => Buffer.from(path, 'latin1').toString('utf8')

const split = (path: string): readonly string[] =>
  path.split('/').filter((part) => part !== '' && part !== '.')

const join = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`)
