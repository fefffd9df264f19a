import type { ContainerSpec, Dependency } from '../model/desired.ts'
import { compareText, isLasting, sharedServices, type Unit } from './unit.ts'

/** Which service depends on which, without cycles. */
export interface Graph {
  /** Dependencies before their dependants. */
  readonly order: readonly string[]
  readonly dependencies: (service: string) => readonly string[]
}

/**
 * Edges of `depends_on` and of shared namespaces. What should be has no cycle (the manifest is
 * checked), but what is may have one when an update was cut short half-way: such an edge is dropped.
 */
export function dependencyGraph(units: readonly Unit[], side: 'wanted' | 'observed'): Graph {
  const edges = new Map<string, Set<string>>()
  for (const { service } of units) if (!edges.has(service)) edges.set(service, new Set())
  for (const unit of units) {
    // Who stands in for others may be of a version that depended on something else.
    const here = side === 'observed' || isLasting(unit) ? unit[side] : null
    const known = edges.get(unit.service)
    if (here === null || known === undefined) continue
    for (const name of dependencyNames(here)) {
      if (name !== unit.service && edges.has(name)) known.add(name)
    }
  }
  const order = topological([...edges.keys()].sort(compareText), (name) => edges.get(name) ?? [])
  const rank = new Map(order.map((name, index) => [name, index]))
  const before = (a: string, b: string) => (rank.get(a) ?? 0) < (rank.get(b) ?? 0)
  const dependencies = (service: string) =>
    [...(edges.get(service) ?? [])].filter((name) => before(name, service)).sort(compareText)
  return { order, dependencies }
}

function dependencyNames(of: {
  readonly spec: ContainerSpec
  readonly dependsOn: readonly Dependency[]
}): readonly string[] {
  return [...of.dependsOn.map((dependency) => dependency.service), ...sharedServices(of.spec)]
}

/**
 * Waves of what is ready, each in the order given. A cycle is cut at its first member, so that this
 * always ends and always returns every node.
 */
export function topological(
  nodes: readonly string[],
  needs: (node: string) => Iterable<string>,
): readonly string[] {
  const index = new Map(nodes.map((node, position) => [node, position]))
  const open = new Map<string, number>()
  const dependants = new Map<string, string[]>()
  for (const node of nodes) {
    const known = [...new Set(needs(node))].filter((need) => index.has(need))
    open.set(node, known.length)
    for (const need of known) append(dependants, need, node)
  }
  const order: string[] = []
  let wave = nodes.filter((node) => open.get(node) === 0)
  while (open.size > 0) {
    const [first] = open.keys()
    if (wave.length === 0 && first !== undefined) wave = [first]
    const next: string[] = []
    for (const node of wave) {
      order.push(node)
      open.delete(node)
      for (const dependant of dependants.get(node) ?? []) {
        const left = open.get(dependant)
        if (left === undefined) continue
        open.set(dependant, left - 1)
        if (left === 1) next.push(dependant)
      }
    }
    wave = next.filter((node) => open.has(node)).sort(byIndex(index))
  }
  return order
}

function append(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}

const byIndex = (index: ReadonlyMap<string, number>) => (a: string, b: string) =>
  (index.get(a) ?? 0) - (index.get(b) ?? 0)
