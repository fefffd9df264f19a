import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { digestOf } from './blobs.ts'
import { parseConfig } from './config.ts'
import type { IndexEntry, StoreIndex } from './index-file.ts'
import { invalidImage } from './json.ts'
import type { LayerFacts } from './layer.ts'
import type { ImageFacts } from './store.ts'

const SYNC_TIMEOUT_MS = 10 * 60_000

/**
 * On disk: `layers/<hex>/` an unpacked layer by the digest of its tar, `layers/<hex>.json` its facts;
 * `manifests/<hex>.json` and `manifests/<hex>.config.json` the bytes of an image; `scratch/` what is
 * under way. What has its final name is whole; only the index makes it an image.
 */
export class StoreFolder {
  readonly #folder: string
  readonly #kernel: Kernel
  #last: Promise<unknown> = Promise.resolve()
  #swept = false

  constructor(folder: string, kernel: Kernel) {
    this.#folder = folder
    this.#kernel = kernel
  }

  /** One writer at a time, with an empty scratch folder; the first clears what a killed one left. */
  exclusive<T>(index: StoreIndex, act: (scratch: string) => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#turn(index, act))
    this.#last = turn.catch(() => {})
    return turn
  }

  layer(diffId: string): string {
    return join(this.#folder, 'layers', hex(diffId))
  }

  async layerFacts(diffId: string): Promise<LayerFacts | null> {
    if (!(await this.#kernel.exists(this.layer(diffId)))) return null
    const text = await this.#kernel.readText(`${this.layer(diffId)}.json`)
    // pak's own file, renamed into its place before the folder was.
    return text === null ? null : (JSON.parse(text) as LayerFacts)
  }

  /** Give unpacked layers their names, once the disk has all of them. */
  async commitLayers(
    layers: readonly {
      readonly diffId: string
      readonly folder: string
      readonly facts: LayerFacts
    }[],
  ): Promise<void> {
    if (layers.length === 0) return
    await this.flush()
    for (const { diffId, folder, facts } of layers) {
      await this.#kernel.replaceFile(`${this.layer(diffId)}.json`, JSON.stringify(facts))
      await rename(folder, this.layer(diffId))
    }
  }

  async putImage(manifest: Buffer, config: Buffer): Promise<string> {
    const digest = digestOf(manifest)
    await this.#kernel.replaceFile(this.#manifest(digest, 'config.json'), config)
    await this.#kernel.replaceFile(this.#manifest(digest, 'json'), manifest)
    return digest
  }

  async facts(digest: string): Promise<ImageFacts> {
    const manifest = await this.#kernel.readText(this.#manifest(digest, 'json'))
    const config = await this.#kernel.readText(this.#manifest(digest, 'config.json'))
    if (manifest === null || config === null) throw invalidImage(digest, 'is damaged in the store')
    const parsed = parseConfig(Buffer.from(config))
    const layers: string[] = []
    // The top copy of a layer that is there twice decides alone; overlayfs refuses the second.
    for (const diffId of new Set(parsed.diffIds.toReversed())) {
      const facts = await this.layerFacts(diffId)
      if (facts === null) throw invalidImage(diffId, 'is damaged in the store')
      layers.push(this.layer(diffId))
      if (facts.hidesBelow) break
    }
    return { digest, layers, config: parsed.config, notes: parsed.notes }
  }

  /** Remove what no entry of the index needs. */
  async sweep(entries: readonly IndexEntry[]): Promise<void> {
    const digests = new Set(entries.map(({ digest }) => digest))
    const layers = new Set<string>()
    for (const digest of digests) {
      const config = await this.#kernel.readText(this.#manifest(digest, 'config.json'))
      if (config === null) continue
      for (const diffId of parseConfig(Buffer.from(config)).diffIds) layers.add(hex(diffId))
    }
    await this.#keep('manifests', new Set([...digests].map(hex)))
    await this.#keep('layers', layers)
  }

  async flush(): Promise<void> {
    const result = await this.#kernel.run('sync', ['--file-system', '--', this.#folder], {
      timeoutMs: SYNC_TIMEOUT_MS,
    })
    if (result.exitCode !== 0)
      throw new PakError('storage', `write images to disk: ${result.stderr.trim()}`)
  }

  async #turn<T>(index: StoreIndex, act: (scratch: string) => Promise<T>): Promise<T> {
    const scratch = join(this.#folder, 'scratch')
    for (const name of ['layers', 'manifests'])
      await this.#kernel.makeFolder(join(this.#folder, name), 0o700)
    await this.#kernel.removeTree(scratch)
    await this.#kernel.makeFolder(scratch, 0o700)
    if (!this.#swept) await this.sweep(await index.read())
    this.#swept = true
    try {
      return await act(scratch)
    } finally {
      await this.#kernel.removeTree(scratch)
    }
  }

  async #keep(kind: string, wanted: ReadonlySet<string>): Promise<void> {
    const names = await this.#kernel.list(join(this.#folder, kind))
    const gone = names.filter((name) => !wanted.has(name.split('.', 1)[0] ?? ''))
    // Facts last: a folder with its final name has some.
    const ordered = gone.toSorted((one, other) => one.length - other.length)
    if (ordered.length > 0)
      await this.#kernel.removeTree(...ordered.map((name) => join(this.#folder, kind, name)))
  }

  #manifest(digest: string, extension: string): string {
    return join(this.#folder, 'manifests', `${hex(digest)}.${extension}`)
  }
}

const hex = (digest: string): string => digest.slice('sha256:'.length)
