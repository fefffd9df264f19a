import * as fs from 'node:fs'
import { join } from 'node:path'
import type { Readable, Transform } from 'node:stream'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { invalidImage } from './json.ts'
import { archiveParts, LayerTree, shown } from './layer-tree.ts'
import { readTar, type TarEntry } from './tar.ts'
import { writeXattrs, type XattrList } from './xattrs.ts'

export interface LayerTarget {
  /** Empty, of root alone, and on the file system of the store. */
  readonly folder: string
  /** For helpers, on the same file system, outside the layer. */
  readonly scratch: string
  readonly signal?: AbortSignal
  readonly limits?: Partial<LayerLimits>
}

export interface LayerLimits {
  readonly entries: number
  /** Device nodes and FIFOs: each costs a process. */
  readonly specials: number
  /** Files and folders with extended attributes, and hard links to them. */
  readonly attributed: number
}

export interface LayerFacts {
  readonly sizeBytes: number
  /** The layer hides all of those below it (an opaque whiteout at its root). */
  readonly hidesBelow: boolean
}

const LIMITS: LayerLimits = { entries: 1_000_000, specials: 1024, attributed: 20_000 }
const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** Past that a folder's own time is not kept: memory stays flat. */
const FOLDER_TIMES = 100_000

/**
 * Unpack one layer (image-spec, layer.md) as overlayfs wants it below a merged root: a whiteout is a
 * character device 0:0, an opaque folder has trusted.overlay.opaque (kernel's overlayfs.rst). Whiteouts
 * are hard links to one device node, because Node cannot make nodes and a process each would be slow.
 */
export async function unpackLayer(
  kernel: Kernel,
  stages: readonly [Readable, ...Transform[]],
  target: LayerTarget,
): Promise<LayerFacts> {
  const layer = new Layer(kernel, target)
  const limits = { ...LIMITS, ...target.limits }
  const options = { entries: limits.entries, ...(target.signal ? { signal: target.signal } : {}) }
  await readTar(stages, options, (entry) => layer.add(entry, limits))
  return layer.finish()
}

class Layer {
  readonly #kernel: Kernel
  readonly #target: LayerTarget
  readonly #tree: LayerTree
  readonly #folderTimes = new Map<string, number>()
  readonly #whiteouts = new Set<string>()
  readonly #opaque = new Set<string>()
  readonly #xattrs: XattrList = new Map()
  /** Hard links to files with attributes, which get a new inode when those are set. */
  readonly #links = new Map<string, string>()
  #whiteoutNode: string | null = null
  #specials = 0
  #sizeBytes = 0

  constructor(kernel: Kernel, target: LayerTarget) {
    this.#kernel = kernel
    this.#target = target
    this.#tree = new LayerTree(target.folder)
  }

  async add(entry: TarEntry, limits: LayerLimits): Promise<void> {
    const parts = archiveParts(entry.name)
    const name = parts.at(-1) ?? ''
    if (name.startsWith(WHITEOUT)) return this.#whiteout(parts, name)
    if (this.#xattrs.size + this.#links.size > limits.attributed)
      throw invalidImage('layer', 'has too many files with extended attributes')
    const path = this.#tree.place(parts)
    if (entry.type === 'directory') return this.#folder(path, entry)
    if (path === '') throw invalidImage('layer', 'has a root that is no folder')
    if (entry.type === 'link') return this.#link(path, entry)
    this.#clear(path)
    switch (entry.type) {
      case 'file':
      case 'contiguous-file':
        await this.#file(path, entry)
        break
      case 'symlink':
        this.#symlink(path, entry)
        break
      case 'character-device':
      case 'block-device':
      case 'fifo':
        await this.#special(path, entry, limits)
        break
      default:
        throw invalidImage(shown(entry.name), 'is of a kind that no layer may have')
    }
    if (entry.xattrs.size > 0) this.#xattrs.set(path, entry.xattrs)
  }

  async finish(): Promise<LayerFacts> {
    const hidesBelow = this.#opaque.delete('')
    for (const path of this.#opaque) {
      if (this.#tree.stat(path)?.isDirectory() !== true) continue
      const own = this.#xattrs.get(path) ?? new Map<string, Buffer>()
      this.#xattrs.set(path, new Map([...own, ['trusted.overlay.opaque', Buffer.from('y')]]))
    }
    await writeXattrs(this.#kernel, this.#tree, { ...this.#target, xattrs: this.#xattrs })
    for (const [path, origin] of this.#links) {
      fs.unlinkSync(this.#tree.at(path))
      fs.linkSync(this.#tree.at(origin), this.#tree.at(path))
    }
    // Last, because everything that is made in a folder changes its time.
    for (const [path, mtime] of this.#folderTimes)
      if (this.#tree.stat(path)?.isDirectory() === true)
        fs.lutimesSync(this.#tree.at(path), mtime, mtime)
    return { sizeBytes: this.#sizeBytes, hidesBelow }
  }

  #folder(path: string, entry: TarEntry): void {
    if (path !== '' && this.#tree.stat(path)?.isDirectory() !== true) {
      this.#clear(path)
      this.#tree.makeFolder(path)
    }
    // Replaced in this layer: nothing of the folder below may show through.
    if (this.#whiteouts.has(path)) this.#opaque.add(path)
    fs.lchownSync(this.#tree.at(path), entry.uid, entry.gid)
    fs.chmodSync(this.#tree.at(path), entry.mode)
    if (this.#folderTimes.size < FOLDER_TIMES) this.#folderTimes.set(path, entry.mtime)
    if (entry.xattrs.size > 0) this.#xattrs.set(path, entry.xattrs)
  }

  async #file(path: string, entry: TarEntry): Promise<void> {
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants
    const handle = fs.openSync(this.#tree.at(path), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)
    try {
      for await (const chunk of entry.content) {
        for (let at = 0; at < chunk.length; ) at += fs.writeSync(handle, chunk, at)
        this.#sizeBytes += chunk.length
      }
      // The mode last: chown takes setuid away.
      fs.fchownSync(handle, entry.uid, entry.gid)
      fs.fchmodSync(handle, entry.mode)
      fs.futimesSync(handle, entry.mtime, entry.mtime)
    } finally {
      fs.closeSync(handle)
    }
  }

  #symlink(path: string, entry: TarEntry): void {
    if (entry.link === '') throw invalidImage(shown(path), 'is a symlink to nothing')
    fs.symlinkSync(Buffer.from(entry.link, 'latin1'), this.#tree.at(path))
    fs.lchownSync(this.#tree.at(path), entry.uid, entry.gid)
    fs.lutimesSync(this.#tree.at(path), entry.mtime, entry.mtime)
  }

  #link(path: string, entry: TarEntry): void {
    const source = this.#tree.find(archiveParts(entry.link))
    const found = source === null ? null : this.#tree.stat(source)
    if (source === null || found === null || found.isDirectory())
      throw invalidImage(shown(path), 'is a hard link to what is no file of its layer')
    if (source === path) return
    this.#clear(path)
    // link(2) does not follow a symlink at its end.
    fs.linkSync(this.#tree.at(source), this.#tree.at(path))
    const origin = this.#links.get(source) ?? source
    if (this.#xattrs.has(origin)) this.#links.set(path, origin)
  }

  async #special(path: string, entry: TarEntry, limits: LayerLimits): Promise<void> {
    const isFifo = entry.type === 'fifo'
    const { major, minor } = entry
    // On overlayfs that would be a whiteout, which only a .wh. name may make.
    if (!isFifo && major === 0 && minor === 0) return
    this.#specials += 1
    if (this.#specials > limits.specials)
      throw invalidImage('layer', `has more than ${limits.specials} devices and FIFOs`)
    if (!isFifo && !(isBetween(major, 4095) && isBetween(minor, 1_048_575)))
      throw invalidImage(shown(path), 'is a device that Linux cannot have')
    // The name may be no text, which an argument must be: made elsewhere, then moved.
    const draft = join(this.#target.scratch, 'special')
    const type = isFifo
      ? ['p']
      : [entry.type === 'block-device' ? 'b' : 'c', `${major}`, `${minor}`]
    await this.#makeNode(draft, type)
    fs.renameSync(draft, this.#tree.at(path))
    fs.lchownSync(this.#tree.at(path), entry.uid, entry.gid)
    fs.chmodSync(this.#tree.at(path), entry.mode)
    fs.lutimesSync(this.#tree.at(path), entry.mtime, entry.mtime)
  }

  async #whiteout(parts: readonly string[], name: string): Promise<void> {
    if (name === OPAQUE) {
      const parent = this.#tree.place([...parts.slice(0, -1), 'x'])
      this.#opaque.add(parent.slice(0, Math.max(parent.lastIndexOf('/'), 0)))
      return
    }
    // Other names of this form are aufs's own bookkeeping.
    if (name.startsWith(`${WHITEOUT}${WHITEOUT}`)) return
    const hidden = name.slice(WHITEOUT.length)
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw invalidImage(shown(parts.join('/')), 'is a whiteout of nothing')
    const path = this.#tree.place([...parts.slice(0, -1), hidden])
    this.#whiteouts.add(path)
    const found = this.#tree.stat(path)
    // It hides what is below the layer, not what the layer itself has there.
    if (found?.isDirectory() === true) this.#opaque.add(path)
    else if (found === null) await this.#linkWhiteout(path)
  }

  async #linkWhiteout(path: string): Promise<void> {
    this.#whiteoutNode ??= await this.#newWhiteoutNode()
    try {
      fs.linkSync(this.#whiteoutNode, this.#tree.at(path))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EMLINK')) throw error
      this.#whiteoutNode = await this.#newWhiteoutNode()
      fs.linkSync(this.#whiteoutNode, this.#tree.at(path))
    }
  }

  async #newWhiteoutNode(): Promise<string> {
    const node = join(this.#target.scratch, 'whiteout')
    fs.rmSync(node, { force: true })
    await this.#makeNode(node, ['c', '0', '0'])
    return node
  }

  async #makeNode(path: string, type: readonly string[]): Promise<void> {
    const result = await this.#kernel.run('mknod', ['--mode=0600', '--', path, ...type])
    if (result.exitCode !== 0)
      throw new PakError('storage', `make a device node: ${result.stderr.trim()}`)
  }

  #clear(path: string): void {
    const found = this.#tree.stat(path)
    if (found === null) return
    this.#tree.remove(path)
    if (found.isDirectory()) {
      for (const list of [this.#xattrs, this.#links])
        for (const other of list.keys()) if (other.startsWith(`${path}/`)) this.#forget(other)
    }
    this.#forget(path)
  }

  #forget(path: string): void {
    this.#xattrs.delete(path)
    this.#links.delete(path)
    for (const [link, origin] of this.#links) if (origin === path) this.#links.delete(link)
  }
}

const isBetween = (value: number, limit: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= limit
