import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type CriLine, nanoseconds, parseLine } from './cri.ts'
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
const NEWLINE = 0x0a

/**
 * Reads one container's log forward: rotated files first (`.log.2`, `.log.1`, `.log`), then what is
 * appended, across rotation, truncation and a file that is made anew. Holds one chunk and the begun
 * lines of two streams, never more.
 */
export class ContainerLog {
  readonly source: LogSource
  #file: FileHandle | null = null
  #inode = -1
  #offset = 0
  #rest: Buffer = Buffer.alloc(0)
  #order = 0n
  readonly #begun = new Map<CriLine['stream'], LogEntry>()

  constructor(source: LogSource) {
    this.source = source
  }

  /** Start at the last `lines` lines; null: at the oldest line there is. */
  async seek(lines: number | null): Promise<void> {
    const files = await this.#generations()
    if (lines === null) {
      await this.#open(files[0] ?? null, 0)
      return
    }
    let missing = lines
    for (const file of files.toReversed()) {
      await this.#open(file, 0)
      if (this.#file === null) continue
      const found = await tailStart(this.#file, missing)
      this.#offset = found.offset
      missing -= found.lines
      if (missing <= 0) return
    }
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
    const current = await orNull(stat(this.source.path))
    if (current?.ino === this.#inode) return false
    const files = await this.#generations()
    const at = files.findIndex(({ inode }) => inode === this.#inode)
    const next = at < 0 ? files[0] : files[at + 1]
    if (next === undefined) return false
    // The writer left this file before it made the next one: what came in between is read first.
    const late = await this.#chunk()
    if (late !== null) {
      this.#offset -= late.length
      return true
    }
    await this.#open(next, 0)
    return this.#file !== null
  }

  async #open(file: Generation | null, offset: number): Promise<void> {
    await this.close()
    this.#rest = Buffer.alloc(0)
    this.#offset = offset
    if (file === null) return
    this.#file = await orNull(open(file.path, 'r'))
    // Renamed in between: the handle says which file this really is.
    this.#inode = (await this.#file?.stat())?.ino ?? -1
  }

  /** The files of this log, the oldest first. */
  async #generations(): Promise<readonly Generation[]> {
    const folder = dirname(this.source.path)
    const name = basename(this.source.path)
    const numbered = ((await orNull(readdir(folder))) ?? [])
      .filter((entry) => entry.startsWith(`${name}.`) && /\.\d{1,6}$/.test(entry))
      .sort((a, b) => numberOf(b) - numberOf(a))
    const found = await Promise.all(
      [...numbered, name].map(async (entry) => {
        const path = join(folder, entry)
        const facts = await orNull(stat(path))
        return facts === null ? null : { path, inode: facts.ino }
      }),
    )
    return found.filter((file) => file !== null)
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

  #take(bytes: Buffer, into: LogEntry[]): void {
    const line = parseLine(bytes)
    if (line === null) return
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

interface Generation {
  readonly path: string
  readonly inode: number
}

const numberOf = (name: string): number => Number(name.slice(name.lastIndexOf('.') + 1))

async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch {
    return null
  }
}
