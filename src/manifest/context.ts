import type { Problems } from './problem.ts'
import { entriesOf, type Field, itemsOf, spanOf, textOf } from './tree.ts'

/** What the normaliser knows besides the file. */
export interface Context {
  readonly problems: Problems
  /** The shell's variables, then those of the env files of the project. */
  readonly lookup: (name: string) => string | undefined
  /** Relative paths begin here: the folder of the first file. Absolute. */
  readonly folder: string
  /** The project's name. */
  readonly project: string
  /** This machine's own, of IPv4; asked only where a network has peers. */
  readonly addresses: () => readonly string[]
  /** For `~`; `null` when HOME is not set. */
  readonly home: string | null
}

/** Why a value cannot be taken; `take` gives it its place in the file. */
export class Refusal extends Error {
  readonly hint: string | null
  constructor(reason: string, hint: string | null = null) {
    super(reason)
    this.hint = hint
  }
}

/** Parse the text of a scalar; what is refused is reported once, and the fallback stands in. */
export function take<T>(
  context: Context,
  field: Field | null,
  options: { readonly parse: (text: string) => T; readonly fallback: T },
): T {
  const text = textOf(field)
  if (field === null || text === null) return options.fallback
  return attempt(context, field, { make: () => options.parse(text), fallback: options.fallback })
}

/** Run something that may refuse this field. Nothing is tried on what is already known to be wrong. */
export function attempt<T>(
  context: Context,
  field: Field,
  options: { readonly make: () => T; readonly fallback: T },
): T {
  const { problems } = context
  if (problems.covers(field.path) || problems.reachesInto(field.path)) return options.fallback
  try {
    return options.make()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    complain(context, field, error)
    return options.fallback
  }
}

export function complain(context: Context, field: Field, refusal: Refusal): void {
  const { message, hint } = refusal
  context.problems.report({ span: spanOf(field), path: field.path, message, hint })
}

/** Each text of a list, or a single text, parsed; refused ones are left out. */
export function takeEach<T>(
  context: Context,
  field: Field | null,
  parse: (text: string) => T,
): readonly T[] {
  if (field === null) return []
  const items = field.node.kind === 'scalar' ? [field] : itemsOf(field)
  return items.flatMap((item) => {
    const made = take<readonly T[]>(context, item, { parse: (text) => [parse(text)], fallback: [] })
    return made
  })
}

export function takeBoolean(field: Field | null, fallback: boolean): boolean {
  const text = textOf(field)
  return text === null ? fallback : text === 'true'
}

/** A named value of a map or of a list of `KEY=value`. */
export interface NamedValue {
  readonly name: string
  /** `null`: only the name was given. */
  readonly value: string | null
  readonly field: Field
}

/** The list and the map form alike, in the order of the file. */
export function pairsOf(field: Field | null, separator: RegExp = /=/): readonly NamedValue[] {
  const named = entriesOf(field).map(([name, value]) => ({
    name,
    value: textOf(value),
    field: value,
  }))
  const listed = itemsOf(field).flatMap((item): readonly NamedValue[] => {
    const text = textOf(item)
    if (text === null) return []
    const at = text.search(separator)
    if (at === -1) return [{ name: text, value: null, field: item }]
    return [{ name: text.slice(0, at), value: text.slice(at + 1), field: item }]
  })
  return [...named, ...listed]
}

/** The same record for any order of its keys; without a prototype's help, so that no name is special. */
export function sortedRecord(
  entries: Iterable<readonly [string, string]>,
): Readonly<Record<string, string>> {
  return Object.fromEntries([...entries].sort(([a], [b]) => compare(a, b)))
}

/** By code unit, so that no locale changes a plan. */
export function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/** Sorted, each once. */
export function sortedSet(texts: Iterable<string>): readonly string[] {
  return [...new Set(texts)].sort(compare)
}
