import { Transform, type TransformCallback } from 'node:stream'
import { invalidImage } from './json.ts'

/** The records of the PAX header before an entry (pax(1)), values as the bytes that they are. */
export type PaxRecords = ReadonlyMap<string, Buffer>

export interface TarLimits {
  readonly entries: number
}

const BLOCK = 512
const PAX_LIMIT_BYTES = 1024 * 1024
const GLOBAL_LIMIT_BYTES = 64 * 1024
const LONG_NAME_LIMIT_BYTES = 64 * 1024
const NO_RECORDS: PaxRecords = new Map()

type State =
  | { readonly kind: 'header' }
  | { readonly kind: 'pax'; readonly size: number; readonly global: boolean }
  | { readonly kind: 'skip'; readonly size: number }
  | { readonly kind: 'end' }

/**
 * Stands before the tar parser, passes the bytes on, and refuses what the parser would swallow:
 * negative and absurd sizes, huge extended headers, endless archives. It also keeps what the parser
 * loses: extended attributes are bytes, not UTF-8. What follows the end of the archive is dropped.
 */
export class TarGuard extends Transform {
  readonly #limits: TarLimits
  readonly #records: PaxRecords[] = []
  #pending: PaxRecords | null = null
  #state: State = { kind: 'header' }
  #held: Buffer[] = []
  #heldBytes = 0
  #skipped = 0
  #entries = 0
  #zeroBlocks = 0

  constructor(limits: TarLimits) {
    super()
    this.#limits = limits
  }

  /** The records of the next entry; called once for each entry, in order. */
  nextRecords(): PaxRecords {
    return this.#records.shift() ?? NO_RECORDS
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      const used = this.#walk(chunk)
      done(null, used === chunk.length ? chunk : chunk.subarray(0, used))
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }

  override _flush(done: TransformCallback): void {
    const whole =
      this.#state.kind === 'end' || (this.#state.kind === 'header' && this.#heldBytes === 0)
    done(whole ? null : invalidImage('archive', 'ends in the middle of an entry'))
  }

  /** How many bytes of the chunk belong to the archive. */
  #walk(chunk: Buffer): number {
    let at = 0
    while (at < chunk.length && this.#state.kind !== 'end') {
      const state = this.#state
      if (state.kind === 'skip') {
        const step = Math.min(state.size - this.#skipped, chunk.length - at)
        at += step
        this.#skipped += step
        if (this.#skipped === state.size) this.#enter({ kind: 'header' })
        continue
      }
      const size = state.kind === 'pax' ? padded(state.size) : BLOCK
      const step = Math.min(size - this.#heldBytes, chunk.length - at)
      this.#held.push(chunk.subarray(at, at + step))
      this.#heldBytes += step
      at += step
      if (this.#heldBytes < size) continue
      const whole = Buffer.concat(this.#held)
      this.#enter({ kind: 'header' })
      if (state.kind === 'header') this.#header(whole)
      else this.#pax(parsePax(whole.subarray(0, state.size)), state.global)
    }
    return at
  }

  #enter(state: State): void {
    this.#state = state
    this.#held = []
    this.#heldBytes = 0
    this.#skipped = 0
  }

  #header(block: Buffer): void {
    if (isZero(block)) {
      this.#zeroBlocks += 1
      if (this.#zeroBlocks === 2) this.#enter({ kind: 'end' })
      return
    }
    this.#zeroBlocks = 0
    if (block.toString('latin1', 257, 262) !== 'ustar') throw invalidImage('archive', 'is no tar')
    const size = sizeOf(block)
    const type = String.fromCharCode(block[156] ?? 0)
    if (type === 'x') this.#meta(size, PAX_LIMIT_BYTES, { kind: 'pax', size, global: false })
    else if (type === 'g') this.#meta(size, GLOBAL_LIMIT_BYTES, { kind: 'pax', size, global: true })
    else if (type === 'L' || type === 'K' || type === 'N')
      this.#meta(size, LONG_NAME_LIMIT_BYTES, skip(size))
    else this.#entry(block, type, size)
  }

  #pax(records: PaxRecords, global: boolean): void {
    if (!global) this.#pending = records
    else if (['path', 'linkpath', 'size'].some((key) => records.has(key)))
      throw invalidImage('archive', 'has a global header that names or measures its entries')
  }

  #meta(size: number, limit: number, state: State): void {
    if (size > limit) throw invalidImage('archive', `has an extended header of ${size} bytes`)
    if (size > 0) this.#enter(state)
  }

  #entry(block: Buffer, type: string, headerSize: number): void {
    this.#entries += 1
    if (this.#entries > this.#limits.entries)
      throw invalidImage('archive', `has more than ${this.#limits.entries} entries`)
    const records = this.#pending ?? NO_RECORDS
    this.#pending = null
    this.#records.push(records)
    const size = records.has('size') ? Number(records.get('size')?.toString('latin1')) : headerSize
    if (size > 0 && isFolder(block, type))
      throw invalidImage('archive', 'has a folder with content')
    if (size > 0) this.#enter(skip(size))
  }
}

const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK
const skip = (size: number): State => ({ kind: 'skip', size: padded(size) })

/** As the parser sees it: the checksum field does not count. */
const isZero = (block: Buffer): boolean =>
  block.every((byte, index) => byte === 0 || (index >= 148 && index < 156))

/** Octal digits, or base-256 when the first bit is set (GNU). */
function sizeOf(block: Buffer): number {
  const field = block.subarray(124, 136)
  const first = field[0] ?? 0
  const size =
    first < 0x80
      ? Number.parseInt(field.toString('latin1').replace(/^[ \0]+/, '') || '0', 8)
      : first === 0x80
        ? field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0)
        : -1
  if (!Number.isSafeInteger(size) || size < 0)
    throw invalidImage('archive', 'has an entry of impossible size')
  return size
}

function isFolder(block: Buffer, type: string): boolean {
  if (type === '5') return true
  if (type !== '0' && type !== '\0') return false
  const name = block.subarray(0, 100).toString('latin1').split('\0', 1)[0] ?? ''
  return name.endsWith('/') || (name === '' && block[345] !== 0)
}

/** Records of the form `<length> <key>=<value>\n`; strict, so that the parser can see nothing else. */
function parsePax(body: Buffer): PaxRecords {
  const records = new Map<string, Buffer>()
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at)
    const digits = body.subarray(at, Math.max(space, at)).toString('latin1')
    const length = /^[1-9][0-9]{0,7}$/.test(digits) ? Number(digits) : 0
    const end = at + length
    const equals = body.indexOf(0x3d, space)
    if (length === 0 || end > body.length || body[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw invalidImage('archive', 'has a PAX header that is not well formed')
    records.set(
      body.subarray(space + 1, equals).toString('utf8'),
      body.subarray(equals + 1, end - 1),
    )
    at = end
  }
  const size = records.get('size')?.toString('latin1')
  if (size !== undefined && !(/^[0-9]{1,16}$/.test(size) && Number.isSafeInteger(Number(size))))
    throw invalidImage('archive', 'has an entry of impossible size')
  if ([...records.keys()].some((key) => key.startsWith('GNU.sparse.')))
    throw invalidImage('archive', 'has sparse files, which no layer may have')
  return records
}
