import type { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as tar from 'tar-stream'
import { PakError } from '../errors.ts'
import { invalidImage } from './json.ts'
import { type PaxRecords, TarGuard } from './tar-guard.ts'

/**
 * One entry. Names are bytes, one character each (latin1), as they are in the archive: they are
 * nothing but bytes to Linux either.
 */
export interface TarEntry {
  readonly name: string
  readonly link: string
  readonly type: tar.Header['type'] | null
  readonly sizeBytes: number
  /** Where the content starts in the archive. */
  readonly offset: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds. */
  readonly mtime: number
  readonly major: number
  readonly minor: number
  readonly xattrs: ReadonlyMap<string, Buffer>
  readonly content: AsyncIterable<Buffer>
}

export interface ReadTarOptions {
  readonly entries: number
  readonly signal?: AbortSignal
}

const XATTR_PREFIX = 'SCHILY.xattr.'
/** uid_t without its two special values; chown(2). */
const ID_LIMIT = 0xffff_fffe

/** Entries one after the other; what `act` does not read of an entry is skipped. */
export async function readTar(
  stages: readonly [Readable, ...Transform[]],
  { entries, signal }: ReadTarOptions,
  act: (entry: TarEntry) => Promise<void> | void,
): Promise<void> {
  const guard = new TarGuard({ entries })
  // The second option is not in the package's types.
  const options = { highWaterMark: 64 * 1024, filenameEncoding: 'latin1' }
  const parser = tar.extract(options)
  const flow = pipeline([...stages, guard, parser], signal === undefined ? {} : { signal })
  let own: { readonly error: unknown } | null = null
  const loop = async () => {
    for await (const entry of parser) {
      try {
        await act(describe(entry, guard))
      } catch (error) {
        own ??= { error }
        throw error
      }
      entry.resume()
    }
  }
  const [flowed, looped] = await Promise.allSettled([flow, loop().finally(() => parser.destroy())])
  signal?.throwIfAborted()
  if (own !== null) throw (own as { readonly error: unknown }).error
  // A stage that broke says why; the loop then only sees that the parser ended.
  if (flowed.status === 'rejected') throw asImageError(flowed.reason)
  if (looped.status === 'rejected') throw asImageError(looped.reason)
}

function describe(
  entry: AsyncIterable<unknown> & { readonly header: tar.Header },
  guard: TarGuard,
): TarEntry {
  const { header } = entry
  const records = guard.nextRecords()
  const name = records.get('path')?.toString('latin1') ?? header.name
  const link = records.get('linkpath')?.toString('latin1') ?? header.linkname ?? ''
  const offset = 'byteOffset' in header ? Number(header.byteOffset) : 0
  if (name.includes('\0') || link.includes('\0'))
    throw invalidImage('archive', 'has a name with NUL')
  const mtime = numberOf(records.get('mtime')) ?? (header.mtime?.getTime() ?? 0) / 1000
  return {
    name,
    link,
    offset,
    type: header.type,
    sizeBytes: header.size ?? 0,
    mode: (header.mode ?? 0) & 0o7777,
    uid: idOf(numberOf(records.get('uid')) ?? header.uid),
    gid: idOf(numberOf(records.get('gid')) ?? header.gid),
    // Within what every file system can hold.
    mtime: Number.isFinite(mtime) ? Math.min(Math.max(mtime, 0), 2 ** 33) : 0,
    major: header.devmajor ?? 0,
    minor: header.devminor ?? 0,
    xattrs: xattrsOf(records),
    // The package's types do not say so; it gives what it was given.
    content: entry as AsyncIterable<Buffer>,
  }
}

const numberOf = (bytes: Buffer | undefined): number | null =>
  bytes === undefined ? null : Number(bytes.toString('latin1'))

function idOf(id: number | undefined): number {
  if (id === undefined || !Number.isSafeInteger(id) || id < 0 || id > ID_LIMIT)
    throw invalidImage('archive', 'has an owner that is no user')
  return id
}

/**
 * File capabilities and the user's own attributes. Everything else would speak to the host: overlayfs
 * keeps its state in `trusted.overlay.*` and `user.overlay.*`, security modules theirs in `security.*`.
 */
function xattrsOf(records: PaxRecords): ReadonlyMap<string, Buffer> {
  const kept = new Map<string, Buffer>()
  for (const [key, value] of records) {
    if (!key.startsWith(XATTR_PREFIX)) continue
    const name = key.slice(XATTR_PREFIX.length)
    const isUser = name.startsWith('user.') && !name.startsWith('user.overlay.')
    if (name === 'security.capability' || isUser) kept.set(name, value)
  }
  return kept
}

function asImageError(error: unknown): unknown {
  if (error instanceof PakError || !(error instanceof Error)) return error
  // Faults of the host have an errno; a broken archive has not.
  if ('errno' in error && 'syscall' in error)
    return new PakError('storage', `unpack the archive: ${error.message}`, { cause: error })
  return invalidImage('archive', error.message, error)
}
