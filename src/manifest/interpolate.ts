import { type Problems, shown } from './problem.ts'
import { entriesOf, type Field, type ManifestNode, type ScalarNode, spanOf } from './tree.ts'

export interface Interpolation {
  /** Value of a variable; `undefined` when it is not set. */
  readonly lookup: (name: string) => string | undefined
  readonly problems: Problems
  readonly warn: (message: string) => void
}

/** All values of a manifest together may not grow beyond this. */
const MOST_CHARACTERS = 16 * 1024 * 1024
const MOST_NESTING = 32

/**
 * Replace `$VAR` and `${VAR...}` in every text value, never in keys. A value that comes out is data: it is
 * not read as YAML again, nor searched for variables again. Top-level `x-*` is only touched where it is used.
 */
export function interpolate(root: Field, interpolation: Interpolation): ManifestNode {
  const state: State = { ...interpolation, known: new Map(), characters: 0 }
  if (root.node.kind !== 'map') return visit(state, root)
  const entries = new Map(root.node.entries)
  for (const [name, field] of entriesOf(root))
    if (!name.startsWith('x-')) entries.set(name, { key: field.key, node: visit(state, field) })
  return { ...root.node, entries }
}

interface State extends Interpolation {
  readonly known: Map<ManifestNode, ManifestNode>
  characters: number
}

function visit(state: State, field: Field): ManifestNode {
  const { node } = field
  const before = state.known.get(node)
  if (before !== undefined) return before
  const made = replaced(state, field)
  state.known.set(node, made)
  return made
}

function replaced(state: State, field: Field): ManifestNode {
  const { node, path } = field
  if (node.kind === 'scalar') return scalar(state, field, node)
  if (node.kind === 'list') {
    const items = node.items.map((item, n) =>
      visit(state, { node: item, key: item.span, path: [...path, n] }),
    )
    return { ...node, items }
  }
  const entries = new Map(node.entries)
  for (const [name, below] of entriesOf(field))
    entries.set(name, { key: below.key, node: visit(state, below) })
  return { ...node, entries }
}

function scalar(state: State, field: Field, node: ScalarNode): ManifestNode {
  if (typeof node.value !== 'string' || !node.value.includes('$')) return node
  try {
    const text = interpolateText(node.value, state.lookup, state.warn)
    state.characters += text.length
    if (state.characters > MOST_CHARACTERS) throw new InterpolationError('values grow too large')
    return { ...node, value: text, text }
  } catch (error) {
    if (!(error instanceof InterpolationError)) throw error
    const { message, hint } = error
    state.problems.report({ span: spanOf(field), path: field.path, message, hint })
    return node
  }
}

export class InterpolationError extends Error {
  readonly hint: string | null
  constructor(message: string, hint: string | null = null) {
    super(message)
    this.hint = hint
  }
}

/**
 * Compose's grammar: `$VAR ${VAR} ${VAR:-x} ${VAR-x} ${VAR:?e} ${VAR?e} ${VAR:+x} ${VAR+x}`, nested, `$$`.
 * @throws InterpolationError
 */
export function interpolateText(
  text: string,
  lookup: (name: string) => string | undefined,
  warn: (message: string) => void = () => {},
): string {
  const reader: Reader = { text, at: 0, lookup, warn, depth: 0, live: true }
  return readUntilEnd(reader)
}

interface Reader {
  readonly text: string
  at: number
  readonly lookup: (name: string) => string | undefined
  readonly warn: (message: string) => void
  depth: number
  /** False within a branch that is not taken: its required variables are not asked for. */
  live: boolean
}

/** Up to the end, or within braces up to the closing one. */
function readUntilEnd(reader: Reader): string {
  const { text } = reader
  let made = ''
  while (reader.at < text.length) {
    const stop = nextSpecial(reader)
    made += text.slice(reader.at, stop)
    reader.at = stop
    if (stop === text.length) break
    if (text[stop] === '}') return made
    made += readVariable(reader)
  }
  if (reader.depth > 0) throw invalid(reader, 'a `${` is not closed')
  return made
}

function nextSpecial({ text, at, depth }: Reader): number {
  const special = depth > 0 ? /[$}]/g : /\$/g
  special.lastIndex = at
  return special.exec(text)?.index ?? text.length
}

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y

function readVariable(reader: Reader): string {
  reader.at++
  const next = reader.text[reader.at]
  if (next === '$') {
    reader.at++
    return '$'
  }
  if (next === '{') return readBraced(reader)
  return valueOrWarn(reader, readName(reader))
}

function readName(reader: Reader): string {
  NAME.lastIndex = reader.at
  const name = NAME.exec(reader.text)?.[0]
  if (name === undefined) throw invalid(reader, 'no variable name follows `$`')
  reader.at += name.length
  return name
}

function readBraced(reader: Reader): string {
  reader.at++
  const name = readName(reader)
  const operator = /^:?[-?+]/.exec(reader.text.slice(reader.at, reader.at + 2))?.[0] ?? ''
  reader.at += operator.length
  if (operator === '') {
    if (reader.text[reader.at] !== '}')
      throw invalid(reader, `\`\${${name}\` must go on with }, :-, :? or :+`)
    reader.at++
    return valueOrWarn(reader, name)
  }
  const value = reader.lookup(name)
  const set = value !== undefined && !(operator.startsWith(':') && value === '')
  const kind = operator.at(-1)
  const word = readWord(reader, kind === '+' ? set : !set)
  if (kind === '+') return set ? word : ''
  if (set) return value ?? ''
  if (kind === '-' || !reader.live) return word
  throw new InterpolationError(
    `variable \`${name}\` is required${word === '' ? '' : `: ${shown(word)}`}`,
  )
}

function readWord(reader: Reader, taken: boolean): string {
  if (reader.depth >= MOST_NESTING) throw invalid(reader, 'variables are nested too deep')
  const { live } = reader
  reader.live = live && taken
  reader.depth++
  const word = readUntilEnd(reader)
  reader.depth--
  reader.live = live
  if (reader.text[reader.at] !== '}') throw invalid(reader, 'a `${` is not closed')
  reader.at++
  return word
}

function valueOrWarn(reader: Reader, name: string): string {
  const value = reader.lookup(name)
  if (value === undefined && reader.live)
    reader.warn(`variable \`${name}\` is not set: it stands for an empty text`)
  return value ?? ''
}

function invalid(reader: Reader, reason: string): InterpolationError {
  return new InterpolationError(
    `${reason} at character ${Math.min(reader.at + 1, reader.text.length)} of the text`,
    'write `$$` for a plain dollar sign',
  )
}
