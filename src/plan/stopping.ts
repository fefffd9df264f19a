import { endsOf, type Gates, gatesOf, placeOf, type Ranks, ranksOf } from './batches.ts'
import type { Draft } from './draft.ts'
import { dependencyGraph, type Graph } from './graph.ts'
import { containerId, groupBy, sharedServices, type Unit } from './unit.ts'

/** The order among stops. */
export interface Stopping {
  /** Stops that come before a replica's own. */
  readonly before: (unit: Unit) => readonly string[]
  /** What a replica's stop waits for, where something is updated batch by batch. */
  readonly gate: (unit: Unit) => readonly string[]
}

/**
 * Dependants stop before what they depend on. But nothing is taken down for what is replaced batch by batch:
 * who needs that is replaced when it is through, and who lives in its namespaces together with the replica
 * that lends them.
 */
export function stoppingOf(draft: Draft): Stopping {
  const { units, batches = [] } = draft
  const ranks = ranksOf(batches)
  const stops = units.filter(({ tasks }) => tasks.stop !== undefined)
  const at: Sides = {
    graph: dependencyGraph(units, 'observed'),
    ranks,
    ends: endsOf(batches),
    gates: gatesOf(draft),
    whole: groupBy(
      stops.filter((unit) => !ranks.has(placeOf(unit))),
      ({ service }) => service,
    ),
  }
  const needs = needsByService(at)
  const guests = groupBy([...at.whole.values()].flat(), (unit) => lenderOf(unit, at) ?? '')
  return {
    before: (unit) => [
      ...(needs.get(unit.service) ?? []),
      ...(guests.get(placeOf(unit)) ?? []).map((guest) => containerId('stop', guest)),
    ],
    gate: (unit) => [gateOf(unit, at) ?? []].flat(),
  }
}

interface Sides {
  readonly graph: Graph
  readonly ranks: Ranks
  readonly ends: ReadonlyMap<string, number>
  readonly gates: Gates
  /** Who stops outside of batches, by service. */
  readonly whole: ReadonlyMap<string, readonly Unit[]>
}

/** For each service the stops of its dependants, or, where one does not stop, of what depends on that. */
function needsByService({ graph, ends, whole }: Sides): ReadonlyMap<string, ReadonlySet<string>> {
  const { order, dependencies } = graph
  const needs = new Map<string, Set<string>>(order.map((service) => [service, new Set()]))
  for (const service of [...order].reverse()) {
    const stops = whole.get(service)
    for (const dependency of dependencies(service)) {
      const rolls = ends.has(dependency)
      const own = rolls ? stops?.filter((unit) => !restarts(unit)) : stops
      const ids = own?.map((unit) => containerId('stop', unit))
      const before = needs.get(dependency)
      for (const id of ids ?? (rolls ? [] : (needs.get(service) ?? []))) before?.add(id)
    }
  }
  return needs
}

const restarts = ({ tasks }: Unit): boolean => tasks.stop !== undefined && tasks.start !== undefined

/** The place of the replica in whose namespaces it lives, where that is replaced in a batch. */
function lenderOf(unit: Unit, { ranks }: Pick<Sides, 'ranks'>): string | null {
  if (unit.observed === null || !restarts(unit) || ranks.has(placeOf(unit))) return null
  const places = sharedServices(unit.observed.spec).map((service) => `${service}/1`)
  return places.find((place) => ranks.has(place)) ?? null
}

function gateOf(unit: Unit, at: Sides): string | null {
  const { gates, ranks, ends, graph } = at
  if (ranks.has(placeOf(unit))) return gates.begin.get(placeOf(unit)) ?? null
  // What stops for something that must be down before the batches begin cannot wait for them.
  if (!restarts(unit) || belowStops(unit.service, at)) return null
  const lender = lenderOf(unit, at)
  if (lender !== null) return gates.begin.get(lender) ?? null
  const [last] = graph
    .dependencies(unit.service)
    .filter((service) => ends.has(service))
    .sort((a, b) => (ends.get(b) ?? 0) - (ends.get(a) ?? 0))
  return last === undefined ? null : (gates.end.get(last) ?? null)
}

function belowStops(service: string, { graph, whole }: Sides): boolean {
  const open = new Set(graph.dependencies(service))
  // A Set that grows while it is walked is walked to its end.
  for (const name of open) for (const next of graph.dependencies(name)) open.add(next)
  return [...open].some((name) => whole.has(name))
}
