import type { Path } from './problem.ts'
import type { Span } from './source.ts'

/**
 * The manifest after YAML and before meaning: every value knows where it was written. A node that an
 * alias repeats is shared, so walks that may meet it often remember it.
 */
export type ManifestNode = MapNode | ListNode | ScalarNode

export interface MapNode {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Entry>
  readonly span: Span
  readonly tag: MergeTag
}

export interface ListNode {
  readonly kind: 'list'
  readonly items: readonly ManifestNode[]
  readonly span: Span
  readonly tag: MergeTag
}

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  /** As text: what the user wrote for a number, so that 1.10 stays 1.10. */
  readonly text: string
  readonly span: Span
  readonly tag: MergeTag
}

/** What a later file says about the value of an earlier one. */
export type MergeTag = 'reset' | 'override' | null

export interface Entry {
  readonly key: Span
  readonly node: ManifestNode
}

/** A node and the way to it. */
export interface Field {
  readonly node: ManifestNode
  readonly path: Path
  /** Where its key is written; its own span for a list's item. */
  readonly key: Span
}

export function rootField(node: ManifestNode): Field {
  return { node, path: [], key: node.span }
}

/** A map's entries in the order of the file; nothing for any other node. */
export function entriesOf(field: Field | null): readonly (readonly [string, Field])[] {
  if (field === null || field.node.kind !== 'map') return []
  const { path } = field
  return [...field.node.entries].map(
    ([name, { key, node }]) => [name, { node, key, path: [...path, name] }] as const,
  )
}

export function itemsOf(field: Field | null): readonly Field[] {
  if (field === null || field.node.kind !== 'list') return []
  const { path } = field
  return field.node.items.map((node, n) => ({ node, key: node.span, path: [...path, n] }))
}

/** The value of a key; `null` when it is not there or empty. */
export function child(field: Field | null, name: string): Field | null {
  if (field === null || field.node.kind !== 'map') return null
  const entry = field.node.entries.get(name)
  if (entry === undefined || isNull(entry.node)) return null
  return { node: entry.node, key: entry.key, path: [...field.path, name] }
}

export function isNull(node: ManifestNode): boolean {
  return node.kind === 'scalar' && node.value === null
}

/** The text of a scalar; `null` for nothing, lists and maps. */
export function textOf(field: Field | null): string | null {
  if (field === null || field.node.kind !== 'scalar' || field.node.value === null) return null
  return field.node.text
}

/** Where to point for this field: the value of a scalar, else its key. */
export function spanOf(field: Field): Span {
  const { node, key } = field
  if (node.kind === 'scalar' && node.span.end > node.span.start) return node.span
  return key
}

/** The node at a path; the nearest one above it where the path leads nowhere. */
export function fieldAt(root: Field, path: Path): Field {
  let field = root
  for (const part of path) {
    const next = step(field, part)
    if (next === null) return field
    field = next
  }
  return field
}

function step({ node, path }: Field, part: string | number): Field | null {
  if (node.kind === 'list' && typeof part === 'number') {
    const item = node.items[part]
    return item === undefined ? null : { node: item, key: item.span, path: [...path, part] }
  }
  if (node.kind !== 'map' || typeof part === 'number') return null
  const entry = node.entries.get(part)
  return entry === undefined ? null : { node: entry.node, key: entry.key, path: [...path, part] }
}

/** Plain data for the schema's validator. Maps have no prototype, so no key means more than itself. */
export function toPlain(node: ManifestNode, known = new Map<ManifestNode, unknown>()): unknown {
  if (node.kind === 'scalar') return node.value
  const before = known.get(node)
  if (before !== undefined) return before
  const plain =
    node.kind === 'list' ? node.items.map((item) => toPlain(item, known)) : toRecord(node, known)
  known.set(node, plain)
  return plain
}

function toRecord(node: MapNode, known: Map<ManifestNode, unknown>): Record<string, unknown> {
  const record: Record<string, unknown> = Object.create(null)
  for (const [name, entry] of node.entries) record[name] = toPlain(entry.node, known)
  return record
}
