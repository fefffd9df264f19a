/** Where a record of a message is, and what a cache must know of it. */
export interface RecordFacts {
  readonly section: 'answer' | 'authority' | 'additional'
  readonly type: number
  readonly ttl: number
  readonly ttlOffset: number
  /** Of an SOA: how long a "no" may be kept, in seconds. */
  readonly soaMinimum: number | null
}

const HEADER_BYTES = 12
const SOA = 6
/** RFC 1035, section 2.3.4. */
const MAX_NAME_BYTES = 255

/**
 * All records of an answer; `null` when it is not whole: a length past the end, a name too long, or a
 * pointer that does not lead backwards (RFC 1035, section 4.1.4), of which a loop would need one.
 */
export function readRecords(message: Buffer): readonly RecordFacts[] | null {
  if (message.length < HEADER_BYTES) return null
  const counts = [4, 6, 8, 10].map((offset) => message.readUInt16BE(offset))
  const [questions = 0, answers = 0, authorities = 0] = counts
  let at = HEADER_BYTES
  for (let left = questions; left > 0; left--) {
    const end = endOfName(message, at)
    if (end === null || end + 4 > message.length) return null
    at = end + 4
  }
  const total = counts.reduce((sum, count) => sum + count, 0) - questions
  const records: RecordFacts[] = []
  while (records.length < total) {
    const index = records.length
    const section =
      index < answers ? 'answer' : index < answers + authorities ? 'authority' : 'additional'
    const found = readRecord(message, at, section)
    if (found === null) return null
    records.push(found.record)
    at = found.end
  }
  return records
}

function readRecord(message: Buffer, start: number, section: RecordFacts['section']) {
  const at = endOfName(message, start)
  if (at === null || at + 10 > message.length) return null
  const type = message.readUInt16BE(at)
  const end = at + 10 + message.readUInt16BE(at + 8)
  if (end > message.length) return null
  // RFC 2181, section 8: with the highest bit it is none.
  const stated = message.readUInt32BE(at + 4)
  const ttl = stated > 0x7fffffff ? 0 : stated
  const soaMinimum = type === SOA && end - at >= 14 ? message.readUInt32BE(end - 4) : null
  return { end, record: { section, type, ttl, ttlOffset: at + 4, soaMinimum } }
}

/** Where the name that begins at `start` ends; its pointers are followed, each further back. */
function endOfName(message: Buffer, start: number): number | null {
  let [at, limit, bytes] = [start, start, 0]
  let end: number | null = null
  for (;;) {
    const length = message[at]
    if (length === undefined) return null
    if (length >= 0xc0) {
      if (at + 2 > message.length) return null
      const target = message.readUInt16BE(at) & 0x3fff
      if (target >= limit || target < HEADER_BYTES) return null
      end ??= at + 2
      limit = target
      at = target
      continue
    }
    if (length > 63) return null
    bytes += length + 1
    if (bytes > MAX_NAME_BYTES || at + length + 1 > message.length) return null
    at += length + 1
    if (length === 0) return end ?? at
  }
}
