import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { type Blob, fileBlob, readBlob, spool } from './blobs.ts'
import { invalidImage } from './json.ts'

export interface UnpackOptions {
  readonly scratch: string
  readonly signal?: AbortSignal
}

/** Less than that may come of anything, however small. */
const FREE_BYTES = 256 * 1024 * 1024
/** Past that, real content does not shrink to a two hundredth; a bomb does. */
const RATIO = 200
const ZSTD_TIMEOUT_MS = 30 * 60_000

/** The stages that give the plain bytes of a blob: as it is, or through gzip or zstd, by its first bytes. */
export async function plainStages(
  kernel: Kernel,
  blob: Blob,
  options: UnpackOptions,
): Promise<readonly [Readable, ...Transform[]]> {
  switch (await compressionOf(blob)) {
    case 'none':
      return [readBlob(blob)]
    case 'gzip':
      return [readBlob(blob), createGunzip(), bomb(blob.sizeBytes)]
    case 'zstd':
      return [readBlob(await throughZstd(kernel, blob, options))]
  }
}

/** A file with the plain bytes: the same one when nothing is compressed. */
export async function plainFile(kernel: Kernel, blob: Blob, options: UnpackOptions): Promise<Blob> {
  const stages = await plainStages(kernel, blob, options)
  const [first, ...rest] = stages
  const compression = await compressionOf(blob)
  if (compression === 'none') {
    first.destroy()
    return blob
  }
  let last: Readable = first
  for (const stage of rest) {
    const from = last
    from.on('error', (error) => stage.destroy(error))
    last = from.pipe(stage)
  }
  try {
    return await spool(last, join(options.scratch, 'plain'), options.signal)
  } catch (error) {
    if (error instanceof PakError || !(error instanceof Error)) throw error
    throw invalidImage('archive', error.message, error)
  }
}

async function compressionOf(blob: Blob): Promise<'none' | 'gzip' | 'zstd'> {
  const file = await open(blob.path)
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, Math.min(4, blob.sizeBytes), blob.offset)
    if (buffer[0] === 0x1f && buffer[1] === 0x8b) return 'gzip'
    return buffer.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none'
  } finally {
    await file.close()
  }
}

const largest = (sizeBytes: number): number => FREE_BYTES + sizeBytes * RATIO

function bomb(sizeBytes: number): Transform {
  let left = largest(sizeBytes)
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length
      done(
        left < 0 ? invalidImage('archive', 'grows beyond all measure when unpacked') : null,
        chunk,
      )
    },
  })
}

/** Node 20 has no zstd. The program writes a file, whose size the kernel bounds. */
async function throughZstd(
  kernel: Kernel,
  blob: Blob,
  { scratch, signal }: UnpackOptions,
): Promise<Blob> {
  const packed = join(scratch, 'packed.zst')
  const plain = join(scratch, 'unpacked')
  await kernel.removeTree(packed, plain)
  await spool(readBlob(blob), packed, signal)
  // Asked first: prlimit would report the missing program as its own failure.
  await kernel.run('zstd', ['--version'])
  const result = await kernel.run(
    'prlimit',
    [
      `--fsize=${largest(blob.sizeBytes)}`,
      '--',
      'zstd',
      '--decompress',
      '--quiet',
      '-o',
      plain,
      packed,
    ],
    { timeoutMs: ZSTD_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) },
  )
  await kernel.removeTree(packed)
  if (result.exitCode !== 0)
    throw invalidImage(
      'archive',
      `zstd cannot unpack it: ${result.stderr.trim() || 'it grows too large'}`,
    )
  return fileBlob(plain)
}
