import { type Address, replicaAddress } from '../model/address.ts'
import { dependencyGraph } from './graph.ts'
import { groupBy, type Tasks, type Unit } from './unit.ts'

/**
 * The same without the starts that have to wait, and without those of what depends on them. What is
 * stopped or made anew in this plan is started in it, too.
 */
export function holdBack(units: readonly Unit[], hold: ReadonlySet<Address>): readonly Unit[] {
  if (hold.size === 0) return units
  const byService = groupBy(units, ({ service }) => service)
  const waiting = new Set<string>()
  const { order, dependencies } = dependencyGraph(units, 'wanted')
  for (const service of order) {
    const blocked = dependencies(service).some((name) => waiting.has(name))
    const here = byService.get(service) ?? []
    const kept = here.map((unit) => {
      const held = blocked || hold.has(replicaAddress(unit.service, unit.replica))
      if (!held || !onlyStarts(unit.tasks)) return unit
      waiting.add(service)
      const { start: _, ...tasks } = unit.tasks
      return { ...unit, tasks }
    })
    byService.set(service, kept)
  }
  return [...byService.values()].flat()
}

const onlyStarts = ({ start, stop, remove, create }: Tasks): boolean =>
  start !== undefined && stop === undefined && remove === undefined && create === undefined
