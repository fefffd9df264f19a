/** One line of a CRI log: `2016-10-06T00:17:09.669794202Z stdout F the text`. */
export interface CriLine {
  /** RFC 3339 with nanoseconds, as written. */
  readonly time: string
  readonly stream: 'stdout' | 'stderr'
  /** `P`: the text goes on in the stream's next line. */
  readonly partial: boolean
  /** Bytes as the container wrote them, without the line's end. */
  readonly text: Buffer
}

const SPACE = 0x20
/** The time is at most 35 bytes, the stream 6, the tag a few: a header beyond this is none. */
const HEADER_LIMIT = 80

/**
 * Parses a line without its newline; null when it has no CRI header (a torn write after a crash). Tags
 * after the first (`F:tag`) are for other readers. Source: the kubelet's CRI logging format.
 */
export function parseLine(line: Buffer): CriLine | null {
  const afterTime = line.indexOf(SPACE)
  const afterStream = afterTime < 0 ? -1 : line.indexOf(SPACE, afterTime + 1)
  if (afterStream < 0 || afterStream > HEADER_LIMIT) return null
  const found = line.indexOf(SPACE, afterStream + 1)
  const afterTag = found < 0 ? line.length : found
  const stream = line.toString('latin1', afterTime + 1, afterStream)
  if (stream !== 'stdout' && stream !== 'stderr') return null
  const tag = line.toString('latin1', afterStream + 1, Math.min(afterTag, HEADER_LIMIT))
  if (!/^[PF](:|$)/.test(tag)) return null
  const time = line.toString('latin1', 0, afterTime)
  if (!/^\d{4}-\d\d-\d\dT/.test(time)) return null
  return { time, stream, partial: tag.startsWith('P'), text: line.subarray(afterTag + 1) }
}

/**
 * Nanoseconds since 1970, for comparing lines whose writer may use a zone of its own (conmon writes the
 * local offset). Null when the text is no time.
 */
export function nanoseconds(time: string): bigint | null {
  const parts = /^(.{19})(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/.exec(time)
  if (parts === null) return null
  const seconds = Date.parse(`${parts[1]}${parts[3]}`)
  if (Number.isNaN(seconds)) return null
  return BigInt(seconds) * 1_000_000n + BigInt((parts[2] ?? '').padEnd(9, '0'))
}
