import { Refusal } from './context.ts'

/** Split a text into words as a POSIX shell does: quotes and backslashes, nothing else means anything. */
export function splitWords(text: string): readonly string[] {
  const words: string[] = []
  let word: string | null = null
  for (let at = 0; at < text.length; ) {
    const c = text.charAt(at)
    if (/[ \t\r\n]/.test(c)) {
      if (word !== null) words.push(word)
      word = null
      at++
      continue
    }
    const piece: Piece = PIECES[c]?.(text, at) ?? { value: c, end: at + 1 }
    word = (word ?? '') + piece.value
    at = piece.end
  }
  return word === null ? words : [...words, word]
}

interface Piece {
  readonly value: string
  readonly end: number
}

const PIECES: Readonly<Record<string, (text: string, at: number) => Piece>> = {
  "'": singleQuoted,
  '"': doubleQuoted,
  '\\': escaped,
}

function singleQuoted(text: string, at: number): Piece {
  const end = text.indexOf("'", at + 1)
  if (end === -1) throw new Refusal("a quote ' is not closed")
  return { value: text.slice(at + 1, end), end: end + 1 }
}

function doubleQuoted(text: string, at: number): Piece {
  const parts: string[] = []
  for (let n = at + 1; n < text.length; n++) {
    const c = text.charAt(n)
    if (c === '"') return { value: parts.join(''), end: n + 1 }
    const next = text.charAt(n + 1)
    if (c === '\\' && next === '\n') n++
    else if (c === '\\' && next !== '' && '$`"\\'.includes(next)) parts.push(text.charAt(++n))
    else parts.push(c)
  }
  throw new Refusal('a quote " is not closed')
}

function escaped(text: string, at: number): Piece {
  if (at + 1 >= text.length) throw new Refusal('nothing follows the last backslash')
  const next = text.charAt(at + 1)
  return { value: next === '\n' ? '' : next, end: at + 2 }
}
