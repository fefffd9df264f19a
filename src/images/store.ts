import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { ImageConfig, ImageRecord } from '../model/image.ts'
import { type ImportChanges, importCandidate } from './import.ts'
import { type IndexEntry, StoreIndex } from './index-file.ts'
import { installImage } from './install.ts'
import { parseReference } from './reference.ts'
import { openSource } from './source.ts'
import { StoreFolder } from './store-folder.ts'

export interface ImageFacts {
  /** Digest of the manifest. */
  readonly digest: string
  /** Unpacked folders, the TOP first, as overlayfs wants its lower ones. */
  readonly layers: readonly string[]
  readonly config: ImageConfig
  /** What of the configuration was dropped, and why. */
  readonly notes: readonly string[]
}

/** The images of one state root, unpacked. This process is its only writer. */
export interface ImageStore {
  /** Sorted by reference. */
  list(): Promise<readonly ImageRecord[]>
  /** The digest of the manifest that a reference, or a digest, means; `null`: not here. */
  resolve(reference: string): Promise<string | null>
  /** Of a digest or a reference; throws `image_missing`. */
  facts(digest: string): Promise<ImageFacts>
  /** An OCI layout (folder or tar) or a docker-archive, gzip and zstd too: all its images for this machine. */
  load(source: string | Readable, signal?: AbortSignal): Promise<readonly ImageRecord[]>
  /** The tar of a root file system, as an image of one layer. */
  import(
    source: string | Readable,
    reference: string,
    options?: ImportOptions,
  ): Promise<ImageRecord>
  /**
   * Take the name away, and the image with its last name; layers that no other image has go too. Throws
   * `image_missing`, and `conflict` when the image would go but a container was made of it. `users`: the
   * containers, by digest.
   */
  remove(reference: string, users?: ReadonlyMap<string, string>): Promise<void>
}

export interface ImportOptions {
  readonly changes?: ImportChanges
  readonly createdAt?: string | null
  readonly signal?: AbortSignal
}

export interface StoreOptions {
  /** In image-spec's words (GOARCH); this machine's unless given. */
  readonly architecture?: string
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }

export function imageStore(
  folder: string,
  kernel: Kernel,
  { architecture = ARCHITECTURES[process.arch] ?? process.arch }: StoreOptions = {},
): ImageStore {
  const files = new StoreFolder(folder, kernel)
  const index = new StoreIndex(join(folder, 'index.json'), kernel)
  const parts = { kernel, files, index, architecture }
  return {
    list: async () => (await index.read()).map(recordOf),
    resolve: async (reference) => matching(await index.read(), reference)[0]?.digest ?? null,
    facts: async (digest) => {
      const found = matching(await index.read(), digest)[0]
      if (found === undefined) throw missing(digest)
      return files.facts(found.digest)
    },
    load: (source, signal) =>
      files.exclusive(index, async (scratch) => {
        const options = { scratch, architecture, ...(signal === undefined ? {} : { signal }) }
        const records: ImageRecord[] = []
        for (const candidate of await openSource(kernel, source, options))
          records.push(...(await installImage(parts, candidate, options)))
        return records
      }),
    import: (source, reference, { changes = {}, createdAt = null, signal } = {}) =>
      files.exclusive(index, async (scratch) => {
        const name = parseReference(reference)
        if (name.digest !== null)
          throw new PakError('usage', `import \`${reference}\`: a digest cannot be chosen`)
        const options = { scratch, architecture, ...(signal === undefined ? {} : { signal }) }
        const candidate = await importCandidate(kernel, source, {
          ...options,
          reference,
          changes,
          createdAt,
        })
        const [record] = await installImage(parts, candidate, options)
        if (record === undefined) throw new Error('import: no record')
        return record
      }),
    remove: (reference, users = new Map()) =>
      files.exclusive(index, async () => {
        const entries = await index.read()
        const found = matching(entries, reference)
        const gone = new Set(found.map((entry) => entry.reference))
        if (found.length === 0) throw missing(reference)
        const left = entries.filter((entry) => !gone.has(entry.reference))
        for (const { digest } of found) {
          const user = users.get(digest)
          if (user !== undefined && !left.some((entry) => entry.digest === digest))
            throw new PakError('conflict', `remove image \`${reference}\`: ${user} uses it`)
        }
        await index.write(left)
        await files.sweep(left)
      }),
  }
}

/** Entries that a text means: one by its name, or all that are the image with this digest. */
function matching(entries: readonly IndexEntry[], text: string): readonly IndexEntry[] {
  const byReference = entries.filter((entry) => entry.reference === text)
  if (byReference.length > 0) return byReference
  if (/^sha256:[a-f0-9]{64}$/.test(text)) return entries.filter((entry) => isSame(entry, text))
  const { name, tag, digest } = parseReference(text)
  if (digest !== null) return entries.filter((entry) => isSame(entry, digest))
  return entries.filter((entry) => entry.reference === `${name}:${tag}`)
}

const isSame = (entry: IndexEntry, digest: string): boolean =>
  entry.digest === digest || entry.indexes.includes(digest)

const recordOf = ({ reference, digest, sizeBytes, createdAt }: IndexEntry): ImageRecord => ({
  reference,
  digest,
  sizeBytes,
  createdAt,
})

const missing = (reference: string): PakError =>
  new PakError('image_missing', `image \`${reference}\`: not in the local store`, {
    hint: 'pak image ls shows what is there',
  })
