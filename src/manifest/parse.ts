import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  type Pair,
  type ParsedNode,
  Parser,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import { gatherProblems, type Problems, shown } from './problem.ts'
import type { SourceFile, Span } from './source.ts'
import type { Entry, ManifestNode, MapNode, MergeTag } from './tree.ts'

/** Deeper than any manifest that a person wrote; shallow enough for every recursive walk. */
const MOST_DEPTH = 100
/** How many nodes a document may have once its aliases are written out. */
const MOST_NODES = 500_000

/**
 * YAML text as a tree with positions. Bounded in depth and, with aliases written out, in size.
 * @throws ManifestError with every syntax error, duplicate key and bad alias of the file
 */
export function parseManifest(source: SourceFile): ManifestNode {
  const problems = gatherProblems()
  const document = compose(source, problems)
  const state: State = {
    source,
    problems,
    anchors: new Map(),
    open: new Set(),
    extents: new Map(),
    size: 0,
    depth: 0,
    deepest: 0,
  }
  const root =
    document === null || document.contents === null ? null : toNode(state, document.contents)
  problems.throwIfAny()
  return root ?? emptyMap({ source, start: 0, end: 0 })
}

function compose(source: SourceFile, problems: Problems): Document.Parsed | null {
  // Unique keys are checked here and not by the composer, whose check is quadratic.
  const composer = new Composer({ uniqueKeys: false, keepSourceTokens: false, logLevel: 'silent' })
  let document: Document.Parsed | null = null
  try {
    for (const parsed of composer.compose(tokensOf(source), true, source.text.length)) {
      if (document !== null) {
        report(problems, source, parsed.range, 'only one YAML document may be in a file')
        break
      }
      document = parsed as Document.Parsed
    }
  } catch (error) {
    if (!(error instanceof TooDeep)) throw error
    report(
      problems,
      source,
      [error.offset, error.offset + 1],
      `nested deeper than ${MOST_DEPTH} levels`,
    )
    return null
  }
  for (const { pos, message } of document?.errors ?? []) report(problems, source, pos, message)
  return problems.list.length > 0 ? null : document
}

class TooDeep extends Error {
  readonly offset: number
  constructor(offset: number) {
    super('too deep')
    this.offset = offset
  }
}

/** The parser keeps its own stack and so survives any depth; the composer recurses. Stop between the two. */
function* tokensOf(source: SourceFile): Generator<CST.Token> {
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(source.text)) {
    yield* parser.next(lexeme)
    if (parser.stack.length > MOST_DEPTH) throw new TooDeep(parser.offset)
  }
  yield* parser.end()
}

interface State {
  readonly source: SourceFile
  readonly problems: Problems
  readonly anchors: Map<string, ManifestNode>
  /** Anchors whose node is still being read: an alias to one of them is a cycle. */
  readonly open: Set<string>
  readonly extents: Map<ManifestNode, Extent>
  /** Nodes so far, with aliases written out. */
  size: number
  depth: number
  /** The deepest level that was reached since the nearest node above was begun, aliases written out. */
  deepest: number
}

/** Of a node that has an anchor: how many nodes it is made of, and how many levels are below it. */
interface Extent {
  readonly nodes: number
  readonly levels: number
}

function toNode(state: State, node: ParsedNode): ManifestNode {
  if (isAlias(node)) return aliased(state, node.source, spanOf(state, node.range))
  const { anchor } = node
  const before = { size: state.size, deepest: state.deepest }
  state.size++
  state.deepest = ++state.depth
  if (anchor !== undefined) state.open.add(anchor)
  const made = toValue(state, node)
  if (anchor !== undefined) {
    state.open.delete(anchor)
    state.anchors.set(anchor, made)
    const levels = state.deepest - state.depth
    state.extents.set(made, { nodes: state.size - before.size, levels })
  }
  state.depth--
  state.deepest = Math.max(state.deepest, before.deepest)
  return made
}

function aliased(state: State, name: string, span: Span): ManifestNode {
  const complain = (message: string) => {
    report(state.problems, state.source, [span.start, span.end], message)
    return emptyMap(span)
  }
  if (state.open.has(name))
    return complain(`alias \`*${shown(name)}\` is inside of what it stands for`)
  const node = state.anchors.get(name)
  if (node === undefined)
    return complain(`there is no anchor \`&${shown(name)}\` before this alias`)
  if (state.size > MOST_NODES) return emptyMap(span)
  const { nodes, levels } = state.extents.get(node) ?? { nodes: 1, levels: 0 }
  const deepest = state.depth + 1 + levels
  if (deepest > MOST_DEPTH) return complain(`nested deeper than ${MOST_DEPTH} levels`)
  state.deepest = Math.max(state.deepest, deepest)
  state.size += nodes
  if (state.size > MOST_NODES)
    return complain(`with its aliases written out the file has more than ${MOST_NODES} values`)
  return node
}

function toValue(
  state: State,
  node: Exclude<ParsedNode, { source: string; type: 'alias' }>,
): ManifestNode {
  const span = spanOf(state, node.range)
  const tag = mergeTag(state, node.tag, span)
  if (isMap(node))
    return { kind: 'map', entries: toEntries(state, node as YAMLMap.Parsed), span, tag }
  if (isSeq(node)) {
    const items = node.items.map((item) => toNode(state, item as ParsedNode))
    return { kind: 'list', items, span, tag }
  }
  if (isScalar(node)) return { kind: 'scalar', ...scalarValue(node), span, tag }
  return emptyMap(span)
}

function scalarValue(node: Scalar): { value: string | number | boolean | null; text: string } {
  const { value, source } = node
  if (typeof value === 'string') return { value, text: value }
  if (typeof value === 'number') return { value, text: source ?? String(value) }
  if (typeof value === 'boolean') return { value, text: String(value) }
  return value === null ? { value, text: '' } : { value: String(value), text: String(value) }
}

const KNOWN_TAGS: ReadonlySet<string> = new Set(
  ['map', 'seq', 'str', 'int', 'float', 'bool', 'null'].map((name) => `tag:yaml.org,2002:${name}`),
)

function mergeTag(state: State, tag: string | undefined, span: Span): MergeTag {
  if (tag === '!reset') return 'reset'
  if (tag === '!override') return 'override'
  if (tag !== undefined && tag !== '!' && !KNOWN_TAGS.has(tag))
    report(state.problems, state.source, [span.start, span.end], `unknown tag \`${shown(tag)}\``)
  return null
}

function toEntries(state: State, node: YAMLMap.Parsed): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>()
  const merged: ManifestNode[] = []
  for (const pair of node.items as Pair<ParsedNode, ParsedNode | null>[]) {
    const key = spanOf(state, pair.key.range)
    const name = keyName(state, pair.key)
    const value = pair.value === null ? emptyValue(key) : toNode(state, pair.value)
    if (name === null) continue
    if (name === '<<' && isScalar(pair.key) && pair.key.type === 'PLAIN') merged.push(value)
    else if (entries.has(name))
      report(
        state.problems,
        state.source,
        [key.start, key.end],
        `key \`${shown(name)}\` is there twice`,
      )
    else entries.set(name, { key, node: value })
  }
  for (const value of merged) mergeInto(state, entries, value)
  return entries
}

function keyName(state: State, key: ParsedNode): string | null {
  const complain = (message: string) => {
    report(state.problems, state.source, key.range, message)
    return null
  }
  if (isAlias(key) || !isScalar(key) || key.value === null)
    return complain('a key must be a plain text')
  const name = scalarValue(key).text
  if (name === '__proto__') return complain('key `__proto__` is not allowed')
  return name
}

/** The merge key of YAML 1.1: keys that are written out win, then earlier maps. */
function mergeInto(state: State, entries: Map<string, Entry>, value: ManifestNode): void {
  const maps = value.kind === 'list' ? value.items : [value]
  for (const map of maps) {
    if (map.kind !== 'map') {
      const { start, end } = map.span
      report(state.problems, state.source, [start, end], 'only maps can be merged with `<<`')
      return
    }
    for (const [name, entry] of map.entries) if (!entries.has(name)) entries.set(name, entry)
  }
}

function emptyMap(span: Span): MapNode {
  return { kind: 'map', entries: new Map(), span, tag: null }
}

function emptyValue(span: Span): ManifestNode {
  return { kind: 'scalar', value: null, text: '', span: { ...span, start: span.end }, tag: null }
}

function spanOf({ source }: State, range: readonly number[] | null | undefined): Span {
  return { source, start: range?.[0] ?? 0, end: range?.[1] ?? range?.[0] ?? 0 }
}

function report(
  problems: Problems,
  source: SourceFile,
  range: readonly number[],
  message: string,
): void {
  const start = range[0] ?? 0
  const first = message.split('\n', 1)[0] ?? message
  problems.report({
    span: { source, start, end: range[1] ?? start },
    path: [],
    message: lowerFirst(first),
  })
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text
}
