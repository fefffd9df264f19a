import { readRecords } from './records.ts'

/** Enough for a machine's names; a kilobyte or so each. */
const MAX_ENTRIES = 1_000
const MAX_ENTRY_BYTES = 4_096
/** A name outside may move: nobody waits longer than this for it, whatever its zone says. */
const MAX_TTL_S = 300
/** "There is no such name" is asked again sooner (RFC 2308, section 5). */
const MAX_NEGATIVE_TTL_S = 30

interface Entry {
  readonly message: Buffer
  readonly ttlOffsets: readonly number[]
  readonly storedMs: number
  readonly endsMs: number
}

/** Answers from outside, by everything that was asked and who was asked. Who came first goes first. */
export interface AnswerCache {
  /** A copy with the time that is left in each record; `null`: nothing, or no longer. */
  get(key: string, nowMs: number): Buffer | null
  /** Kept only when it is whole, says yes or no, and may be kept. */
  put(key: string, message: Buffer, nowMs: number): void
}

export function answerCache(maxEntries = MAX_ENTRIES): AnswerCache {
  const entries = new Map<string, Entry>()
  return {
    get(key, nowMs) {
      const entry = entries.get(key)
      if (entry === undefined) return null
      // A clock that was set back must not keep an answer for ever.
      if (nowMs < entry.endsMs && nowMs >= entry.storedMs) return aged(entry, nowMs)
      entries.delete(key)
      return null
    },
    put(key, message, nowMs) {
      const kept = keepable(message)
      if (kept === null) return
      entries.delete(key)
      const [oldest] = entries.keys()
      if (entries.size >= maxEntries && oldest !== undefined) entries.delete(oldest)
      const { ttlOffsets, ttlSeconds } = kept
      const endsMs = nowMs + ttlSeconds * 1_000
      entries.set(key, { message: Buffer.from(message), ttlOffsets, storedMs: nowMs, endsMs })
    },
  }
}

function aged({ message, ttlOffsets, storedMs }: Entry, nowMs: number): Buffer {
  const copy = Buffer.from(message)
  const seconds = Math.floor((nowMs - storedMs) / 1_000)
  for (const offset of ttlOffsets) {
    const ttl = Math.min(copy.readUInt32BE(offset), MAX_TTL_S)
    copy.writeUInt32BE(Math.max(0, ttl - seconds), offset)
  }
  return copy
}

function keepable(
  message: Buffer,
): { readonly ttlOffsets: readonly number[]; readonly ttlSeconds: number } | null {
  if (message.length > MAX_ENTRY_BYTES || (message[2] ?? 0) & 0x02) return null
  const rcode = (message[3] ?? 0) & 0x0f
  if (rcode !== 0 && rcode !== 3) return null
  const records = readRecords(message)
  if (records === null) return null
  const timed = records.filter(({ type }) => type !== OPT)
  const negative = rcode === 3 || !timed.some(({ section }) => section === 'answer')
  // Without its SOA a "no" may not be kept.
  const soa = timed.find(({ type, section }) => type === SOA && section === 'authority')
  if (negative && soa === undefined) return null
  const least = Math.min(...timed.map(({ ttl }) => ttl), soa?.soaMinimum ?? Infinity)
  const ttlSeconds = Math.min(least, negative ? MAX_NEGATIVE_TTL_S : MAX_TTL_S)
  if (ttlSeconds < 1) return null
  return { ttlOffsets: timed.map(({ ttlOffset }) => ttlOffset), ttlSeconds }
}

const SOA = 6
const OPT = 41
