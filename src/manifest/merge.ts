import type { Entry, ListNode, ManifestNode, MapNode } from './tree.ts'

/**
 * Several files as one, as Compose merges them: maps key by key, lists one after the other, anything else by
 * the later file. Commands are replaced, what is a list or a map by its key, `volumes` and `devices` by
 * target. `!reset` takes away, `!override` replaces without merging.
 */
export function mergeManifests(trees: readonly ManifestNode[]): ManifestNode {
  const [first, ...rest] = trees
  if (first === undefined) throw new RangeError('no manifest to merge')
  return rest.reduce((base, tree) => merge(base, tree, []), withoutTags(first))
}

function merge(base: ManifestNode, over: ManifestNode, path: readonly string[]): ManifestNode {
  if (over.tag === 'override') return withoutTags(over)
  const rule = ruleFor(path)
  if (rule === 'replace') return withoutTags(over)
  if (rule === 'pairs') return mergePairs(base, over, path.at(-1) === 'extra_hosts' ? /[=:]/ : /=/)
  if (base.kind === 'map' && over.kind === 'map') return mergeMaps(base, over, path)
  if (base.kind === 'list' && over.kind === 'list') return mergeLists(base, over, rule)
  return withoutTags(over)
}

type Rule = 'replace' | 'pairs' | 'target' | 'append'

const RULES: Readonly<Record<string, Rule>> = {
  command: 'replace',
  entrypoint: 'replace',
  environment: 'pairs',
  labels: 'pairs',
  sysctls: 'pairs',
  extra_hosts: 'pairs',
  depends_on: 'pairs',
  networks: 'pairs',
  volumes: 'target',
  devices: 'target',
}

/** By where it stands in a service; elsewhere only labels have a rule of their own. */
function ruleFor(path: readonly string[]): Rule {
  const key = path.at(-1) ?? ''
  if (path.length === 4 && key === 'test' && path[2] === 'healthcheck') return 'replace'
  if (path.length === 3) {
    if (path[0] === 'containers' || path[0] === 'services')
      return Object.hasOwn(RULES, key) ? (RULES[key] ?? 'append') : 'append'
    if (key === 'labels') return 'pairs'
  }
  return 'append'
}

function mergeMaps(base: MapNode, over: MapNode, path: readonly string[]): MapNode {
  const entries = new Map<string, Entry>(base.entries)
  for (const [name, { key, node }] of over.entries) {
    const before = entries.get(name)
    if (node.tag === 'reset') entries.delete(name)
    else if (before === undefined) entries.set(name, { key, node: withoutTags(node) })
    else entries.set(name, { key, node: merge(before.node, node, [...path, name]) })
  }
  return { ...base, entries, tag: null }
}

function mergeLists(base: ListNode, over: ListNode, rule: Rule): ListNode {
  const later = over.items.map(withoutTags)
  if (rule !== 'target') {
    const known = new Set(base.items.map(scalarText))
    const added = later.filter((item) => item.kind !== 'scalar' || !known.has(scalarText(item)))
    return { ...base, items: [...base.items, ...added] }
  }
  const replaced = new Set(later.map(targetOf))
  const kept = base.items.filter((item) => !replaced.has(targetOf(item)))
  return { ...base, items: [...kept, ...later] }
}

function scalarText(node: ManifestNode): string | null {
  return node.kind === 'scalar' ? node.text : null
}

/** Where a volume or a device appears in the container; good enough to find the same one again. */
function targetOf(node: ManifestNode): string {
  if (node.kind === 'map') {
    const target = node.entries.get('target')?.node
    return target?.kind === 'scalar' ? target.text : ''
  }
  const [first = '', second] = (scalarText(node) ?? '').split(':')
  return second?.startsWith('/') === true ? second : first
}

/** Lists of `KEY=value` or of names and maps, by key: the result is a map. */
function mergePairs(base: ManifestNode, over: ManifestNode, separator: RegExp): ManifestNode {
  const earlier = toMap(base, separator)
  const later = toMap(over, separator)
  return earlier === null || later === null ? withoutTags(over) : mergeMaps(earlier, later, [])
}

function toMap(node: ManifestNode, separator: RegExp): MapNode | null {
  if (node.kind !== 'list') return node.kind === 'map' ? node : null
  const entries = new Map<string, Entry>()
  for (const item of node.items) {
    if (item.kind !== 'scalar') return null
    const { span, text } = item
    const at = text.search(separator)
    const name = at === -1 ? text : text.slice(0, at)
    const value = at === -1 ? null : text.slice(at + 1)
    const made: ManifestNode = { kind: 'scalar', value, text: value ?? '', span, tag: null }
    entries.set(name, { key: span, node: made })
  }
  return { kind: 'map', entries, span: node.span, tag: null }
}

/** What has nothing to reset or override is taken as it is. Nodes without tags are not copied. */
function withoutTags(node: ManifestNode): ManifestNode {
  if (node.tag === 'reset')
    return { kind: 'scalar', value: null, text: '', span: node.span, tag: null }
  if (node.kind === 'scalar') return node.tag === null ? node : { ...node, tag: null }
  if (node.kind === 'list') return { ...node, items: node.items.map(withoutTags), tag: null }
  const entries = new Map<string, Entry>()
  for (const [name, { key, node: value }] of node.entries)
    if (value.tag !== 'reset') entries.set(name, { key, node: withoutTags(value) })
  return { ...node, entries, tag: null }
}
