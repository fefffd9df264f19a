import { InterpolationError, interpolateText } from './interpolate.ts'
import { shown } from './problem.ts'

export interface EnvFileEntry {
  readonly name: string
  /** `null`: a name alone, whose value comes from the shell. */
  readonly value: string | null
}

/** A line of an env file that cannot be read. */
export class EnvFileError extends Error {
  /** From 1. */
  readonly line: number
  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

const LINE = /[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*(?:([=:])[ \t]*)?/y

/**
 * Compose's env files: `KEY=value`, `export`, comments, single quotes (literal), double quotes (escapes and
 * variables, several lines), variables in plain values. Variables are looked up outside first, then above.
 */
export function parseEnvFile(
  text: string,
  lookup: (name: string) => string | undefined,
): readonly EnvFileEntry[] {
  const entries: EnvFileEntry[] = []
  const above = new Map<string, string>()
  const reader: Reader = { text: text.replace(/^\ufeff/, '').replaceAll('\r\n', '\n'), at: 0 }
  while (skipBlank(reader)) {
    const start = reader.at
    LINE.lastIndex = start
    const match = LINE.exec(reader.text)
    if (match === null) throw fault(reader, 'expected `NAME=value`')
    reader.at = LINE.lastIndex
    const [, name = '', separator] = match
    const value =
      separator === undefined
        ? endOfName(reader)
        : readValue(reader, (n) => lookup(n) ?? above.get(n))
    if (value !== null) above.set(name, value)
    entries.push({ name, value })
  }
  return entries
}

interface Reader {
  readonly text: string
  at: number
}

/** To the next line that says something; false at the end. */
function skipBlank(reader: Reader): boolean {
  const blank = /(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*(?:#[^\n]*$)?/y
  blank.lastIndex = reader.at
  blank.exec(reader.text)
  reader.at = Math.max(reader.at, blank.lastIndex)
  return reader.at < reader.text.length
}

function endOfName(reader: Reader): null {
  if (!/^[ \t]*(#|\n|$)/.test(reader.text.slice(reader.at, reader.at + 200)))
    throw fault(reader, 'expected `=` after the name')
  reader.at = endOfLine(reader)
  return null
}

function readValue(reader: Reader, lookup: (name: string) => string | undefined): string {
  const quote = reader.text[reader.at]
  if (quote === "'" || quote === '"') return readQuoted(reader, quote, lookup)
  const end = endOfLine(reader)
  const raw = reader.text.slice(reader.at, end)
  const value = raw.replace(/(^|[ \t])#.*$/, '').trim()
  const made = replaceVariables(reader, value, lookup)
  reader.at = end
  return made
}

function readQuoted(
  reader: Reader,
  quote: string,
  lookup: (name: string) => string | undefined,
): string {
  const start = reader.at + 1
  let end = start
  while (end < reader.text.length && reader.text[end] !== quote)
    end += reader.text[end] === '\\' ? 2 : 1
  if (end >= reader.text.length) throw fault(reader, 'a quote is not closed')
  const raw = reader.text.slice(start, end)
  const made =
    quote === "'" ? raw.replaceAll("\\'", "'") : replaceVariables(reader, withEscapes(raw), lookup)
  reader.at = end + 1
  if (!/^[ \t]*(#|\n|$)/.test(reader.text.slice(reader.at, reader.at + 200)))
    throw fault(reader, 'something follows the closing quote')
  reader.at = endOfLine(reader)
  return made
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
  $: '$$',
}

function withEscapes(text: string): string {
  return text.replace(/\\([nrt"\\$])/g, (_, c: string) => ESCAPES[c] ?? c)
}

/** A dollar sign that begins no variable stays what it is: passwords hold them. */
function replaceVariables(
  reader: Reader,
  text: string,
  lookup: (name: string) => string | undefined,
): string {
  if (!text.includes('$')) return text
  const guarded = text.replace(/\$\$|\$(?![A-Za-z_{])/g, '$$$$')
  try {
    return interpolateText(guarded, lookup)
  } catch (error) {
    if (error instanceof InterpolationError) throw fault(reader, error.message)
    throw error
  }
}

function endOfLine({ text, at }: Reader): number {
  const end = text.indexOf('\n', at)
  return end === -1 ? text.length : end
}

function fault({ text, at }: Reader, message: string): EnvFileError {
  return new EnvFileError(text.slice(0, at).split('\n').length, shown(message))
}
