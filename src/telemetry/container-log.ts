import { statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type CriLine, nanoseconds, parseLine } from './cri.ts'
import type { Cursor } from './forward/cursor.ts'
import { brokenStreams, type Generation, generationsOf, isMissing, orNull } from './generations.ts'
import type { LogSource } from './sources.ts'
import { tailStart } from './tail.ts'

export interface LogEntry {
  readonly source: LogSource
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339, as in the file. */
  readonly time: string
  /** The same in nanoseconds since 1970, for merging. */
  readonly order: bigint
  /** Without a newline. */
  readonly text: Buffer
  /** False: the line goes on in this stream's next entry, or has not ended yet. */
  readonly whole: boolean
}

const CHUNK_BYTES = 64 * 1024
/** A line longer than this is handed on in pieces. */
const LINE_LIMIT_BYTES = 256 * 1024
/** So much is left out of a line whose begin is lost. */
const REST_LIMIT_BYTES = 64 * 1024
const NEWLINE = 0x0a

/**
 * Reads one container's log forward: the oldest of its files first, then what is appended, across
 * rotation, truncation and a file that is made anew. Holds one chunk and the begun lines of two streams,
 * never more. Where files are missing in between, no line is put together from both sides of the gap.
 */
export class ContainerLog {
  readonly source: LogSource
  #file: FileHandle | null = null
  #inode = -1
  #number: number | null = null
  /** Files up to this number have been read or passed over, whatever became of them. */
  #passed = 0
  /** Streams whose next entries are the rest of a line whose begin is lost; `first`: see brokenPath. */
  #broken: readonly string[] = []
  #leftOut = 0
  #offset = 0
  #rest: Buffer = Buffer.alloc(0)
  #order = 0n
  #missed = 0
  readonly #begun = new Map<CriLine['stream'], LogEntry>()

  constructor(source: LogSource) {
    this.source = source
  }

  /** Start at the last `lines` lines; null: at the oldest line there is. */
  async seek(lines: number | null): Promise<void> {
    const files = generationsOf(this.source.path)
    if (lines === null) {
      await this.#open(files[0] ?? null, files)
      return
    }
    let missing = lines
    for (const file of files.toReversed()) {
      await this.#open(file, files)
      if (this.#file === null) continue
      const found = await tailStart(this.#file, missing)
      this.#offset = found.offset
      if (found.offset > 0) this.#broken = []
      missing -= found.lines
      if (missing <= 0) return
    }
  }

  /** Start there, or at the oldest line there is where that file is gone. */
  async resume({ number, offset }: Cursor): Promise<void> {
    const files = generationsOf(this.source.path)
    const file = files.find((one) => one.number === null || one.number >= number) ?? files[0]
    await this.#open(file ?? null, files)
    if (file?.number === number) {
      this.#offset = offset
      if (offset > 0) this.#broken = []
    } else if (file !== undefined) this.#missed += Math.max(1, (file.number ?? 0) - number)
  }

  /** Where the first line begins that has not been handed on; `null` while nobody can tell. */
  position(): Cursor | null {
    if (this.#begun.size > 0) return null
    const files = generationsOf(this.source.path)
    const number = files.find(({ inode }) => inode === this.#inode)?.number ?? null
    return number === null ? null : { number, offset: this.#offset - this.#rest.length }
  }

  /** How many files were gone before they were read, since this was asked last. */
  missed(): number {
    const missed = this.#missed
    this.#missed = 0
    return missed
  }

  /** The next entries; empty at the end of what there is now. */
  async read(): Promise<readonly LogEntry[]> {
    for (;;) {
      const chunk = await this.#chunk()
      if (chunk !== null) {
        const entries = this.#entries(chunk)
        if (entries.length > 0) return entries
        continue
      }
      if (!(await this.#advance())) return []
    }
  }

  /** Lines that have begun and not ended, a prompt for one. */
  flush(): readonly LogEntry[] {
    const entries = [...this.#begun.values()]
    this.#begun.clear()
    return entries
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = null
  }

  async #chunk(): Promise<Buffer | null> {
    if (this.#file === null) return null
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#offset)
    if (bytesRead === 0) {
      const { size } = await this.#file.stat()
      if (size >= this.#offset) return null
      this.#offset = 0
      this.#rest = Buffer.alloc(0)
      return this.#chunk()
    }
    this.#offset += bytesRead
    return buffer.subarray(0, bytesRead)
  }

  /** On to the file after this one; false when this is the last, or none is there. */
  async #advance(): Promise<boolean> {
    const current = orNull(() => statSync(this.source.path))
    if (current?.ino === this.#inode) return false
    const files = generationsOf(this.source.path)
    const at = files.findIndex(({ inode }) => inode === this.#inode)
    const next = at < 0 ? files.find((file) => this.#isNew(file)) : files[at + 1]
    if (next === undefined) return false
    // The writer left this file before it made the next one: what came in between is read first.
    const late = await this.#chunk()
    if (late !== null) {
      this.#offset -= late.length
      return true
    }
    const number = files[at]?.number ?? this.#number
    const follows = number !== null && next.number === number + 1
    const isFirst = this.#file === null && this.#inode < 0
    const broken = this.#broken
    await this.#open(next, files)
    if (follows) this.#broken = broken
    else if (!isFirst) this.#leap(number, next)
    return this.#file !== null
  }

  #isNew({ number }: Generation): boolean {
    return number === null || number > this.#passed
  }

  /** Files are missing before this one: what had begun there has no end here. */
  #leap(number: number | null, next: Generation): void {
    this.#missed += Math.max(1, (next.number ?? 0) - (number ?? next.number ?? 0) - 1)
    this.#begun.clear()
    if (this.#number !== null && this.#broken.length === 0) this.#broken = ['first']
  }

  async #open(file: Generation | null, among: readonly Generation[]): Promise<void> {
    await this.close()
    this.#rest = Buffer.alloc(0)
    this.#offset = 0
    if (file === null) return
    this.#file = await openOrNull(file.path)
    // Renamed in between: the handle says which file this really is.
    this.#inode = (await this.#file?.stat())?.ino ?? -1
    this.#number = file.number
    // One without a number is newer than all that have one.
    this.#passed = file.number ?? among.findLast(({ number }) => number !== null)?.number ?? 0
    this.#broken = brokenStreams(file.path)
    this.#leftOut = 0
  }

  #entries(chunk: Buffer): readonly LogEntry[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const entries: LogEntry[] = []
    let start = 0
    for (;;) {
      const end = data.indexOf(NEWLINE, start)
      if (end < 0) break
      this.#take(data.subarray(start, end), entries)
      start = end + 1
    }
    // No CRI writer makes a line this long: what cannot be one must not fill the memory.
    const rest = data.subarray(start)
    this.#rest = rest.length > LINE_LIMIT_BYTES ? Buffer.alloc(0) : Buffer.from(rest)
    return entries
  }

  /**
   * Whether an entry is what is left of a line whose begin is lost: half a line is none. Of one that comes
   * in pieces in any case, as a program makes it that never ends a line, all but some of it is shown.
   */
  #isRest({ stream, partial, text }: CriLine): boolean {
    if (this.#broken.length === 0) return false
    if (this.#broken.includes('first')) this.#broken = [stream]
    if (!this.#broken.includes(stream)) return false
    this.#leftOut += text.length
    if (!partial || this.#leftOut > REST_LIMIT_BYTES)
      this.#broken = this.#broken.filter((name) => name !== stream)
    return true
  }

  #take(bytes: Buffer, into: LogEntry[]): void {
    const line = parseLine(bytes)
    if (line === null || this.#isRest(line)) return
    this.#order = nanoseconds(line.time) ?? this.#order
    const begun = this.#begun.get(line.stream)
    const entry: LogEntry = {
      source: this.source,
      stream: line.stream,
      time: begun?.time ?? line.time,
      order: begun?.order ?? this.#order,
      text: begun === undefined ? line.text : Buffer.concat([begun.text, line.text]),
      whole: !line.partial,
    }
    this.#begun.delete(line.stream)
    if (entry.whole || entry.text.length > LINE_LIMIT_BYTES) into.push(entry)
    else this.#begun.set(line.stream, entry)
  }
}

async function openOrNull(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
