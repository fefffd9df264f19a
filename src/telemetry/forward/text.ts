const CONTINUES = 0x80
/** Longer than a character of UTF-8. */
const CHARACTER_BYTES = 4

/**
 * Bytes that a container wrote, as UTF-8 without control characters: these, and what is no UTF-8, become `\x1b`. So
 * nothing in there ends a message, moves a terminal or forges a header. Tabs stay.
 */
export function printable(bytes: Buffer): Buffer {
  if (isPlain(bytes)) return bytes
  const text = bytes.toString('utf8')
  const isWhole = Buffer.byteLength(text) === bytes.length && Buffer.from(text).equals(bytes)
  const valid = isWhole ? text : byteWise(bytes)
  return Buffer.from(valid.replaceAll(/(?!\t)\p{Cc}/gu, (one) => escaped(one.codePointAt(0) ?? 0)))
}

/** In pieces of at most so many bytes, never within a character; an empty text is one piece. */
export function pieces(text: Buffer, mostBytes: number): readonly Buffer[] {
  const most = Math.max(mostBytes, CHARACTER_BYTES)
  const found: Buffer[] = []
  let start = 0
  while (text.length - start > most) {
    let end = start + most
    while (end > start + 1 && ((text[end] ?? 0) & 0xc0) === CONTINUES) end -= 1
    // No character is that long: it is no UTF-8, and may be cut anywhere.
    if (start + most - end >= CHARACTER_BYTES) end = start + most
    found.push(text.subarray(start, end))
    start = end
  }
  return [...found, text.subarray(start)]
}

function isPlain(bytes: Buffer): boolean {
  for (const byte of bytes) if ((byte < 0x20 && byte !== 0x09) || byte > 0x7e) return false
  return true
}

/** What is UTF-8 in there stays. */
function byteWise(bytes: Buffer): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let found = ''
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOf(bytes[at] ?? 0)
    try {
      found += decoder.decode(bytes.subarray(at, at + length))
      at += length
    } catch {
      found += escaped(bytes[at] ?? 0)
      at += 1
    }
  }
  return found
}

const lengthOf = (first: number): number =>
  first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4

const escaped = (code: number): string => `\\x${code.toString(16).padStart(2, '0')}`
