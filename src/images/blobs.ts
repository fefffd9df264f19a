import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { PakError } from '../errors.ts'
import { invalidImage } from './json.ts'
import { readTar } from './tar.ts'

/** A stretch of a file. */
export interface Blob {
  readonly path: string
  readonly offset: number
  readonly sizeBytes: number
}

/** The files of an image source by their name: a folder, or a tar that is not unpacked for it. */
export interface Blobs {
  /** `null`: no such regular file. */
  find(name: string): Promise<Blob | null>
}

const ENTRIES_LIMIT = 100_000
const LINKS_LIMIT = 10

export function folderBlobs(folder: string): Blobs {
  return {
    async find(name) {
      // Names come out of the image: only those that stay in the folder.
      if (!/^[\w.-]+(?:\/[\w.-]+)*$/.test(name) || name.split('/').includes('..')) return null
      const path = join(folder, name)
      // A FIFO or a device in the place of a blob is not opened.
      const found = await fs.stat(path).catch(() => null)
      return found?.isFile() === true ? { path, offset: 0, sizeBytes: found.size } : null
    },
  }
}

/** An uncompressed tar: only where everything is in it is noted. */
export async function tarBlobs(path: string, signal?: AbortSignal): Promise<Blobs> {
  const blobs = new Map<string, Blob>()
  const links = new Map<string, string>()
  const options = { entries: ENTRIES_LIMIT, ...(signal === undefined ? {} : { signal }) }
  await readTar([createReadStream(path)], options, ({ name, type, offset, sizeBytes, link }) => {
    const key = clean(name)
    if (type === 'file') blobs.set(key, { path, offset, sizeBytes })
    // docker save: a layer that stands in several images is there once, and linked.
    else if (type === 'symlink') links.set(key, clean(join('/', name, '..', link)))
    else if (type === 'link') links.set(key, clean(link))
  })
  return {
    async find(name) {
      let key = clean(name)
      for (let hops = 0; hops < LINKS_LIMIT; hops += 1) {
        const target = links.get(key)
        if (target === undefined) break
        key = target
      }
      return blobs.get(key) ?? null
    },
  }
}

const clean = (name: string): string => name.replace(/^(?:\.?\/)+/, '')

export function readBlob({ path, offset, sizeBytes }: Blob): Readable {
  if (sizeBytes === 0) return Readable.from([])
  return createReadStream(path, {
    start: offset,
    end: offset + sizeBytes - 1,
    highWaterMark: 256 * 1024,
  })
}

/** All of a small blob; throws when it is larger than the limit. */
export async function wholeBlob(blob: Blob, limitBytes: number, what: string): Promise<Buffer> {
  if (blob.sizeBytes > limitBytes) throw invalidImage(what, `is larger than ${limitBytes} bytes`)
  const chunks: Buffer[] = []
  for await (const chunk of readBlob(blob)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export interface Meter {
  readonly stage: Transform
  digest(): string
  bytes(): number
}

/** Counts and hashes what flows through. */
export function meter(limitBytes = Number.POSITIVE_INFINITY): Meter {
  const hash = createHash('sha256')
  let bytes = 0
  const stage = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes > limitBytes)
        return done(invalidImage('archive', `is larger than ${limitBytes} bytes`))
      hash.update(chunk)
      done(null, chunk)
    },
  })
  return { stage, digest: () => `sha256:${hash.digest('hex')}`, bytes: () => bytes }
}

/** Digest of a blob as it lies there. */
export async function blobDigest(blob: Blob, signal?: AbortSignal): Promise<string> {
  const { stage, digest } = meter()
  const sink = new PassThrough().resume()
  await pipeline([readBlob(blob), stage, sink], signal === undefined ? {} : { signal })
  return digest()
}

/** Write a stream to a new file. */
export async function spool(source: Readable, path: string, signal?: AbortSignal): Promise<Blob> {
  const options = signal === undefined ? {} : { signal }
  await pipeline([source, createWriteStream(path, { flags: 'wx', mode: 0o600 })], options)
  return fileBlob(path)
}

export async function fileBlob(path: string): Promise<Blob> {
  const found = await fs.stat(path).catch(() => null)
  if (found === null) throw new PakError('not_found', `read \`${path}\`: no such file or folder`)
  if (!found.isFile()) throw new PakError('image_invalid', `read \`${path}\`: not a regular file`)
  return { path, offset: 0, sizeBytes: found.size }
}
