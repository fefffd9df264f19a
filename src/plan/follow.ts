import { isOneOff } from '../model/one-off.ts'
import type { Reason } from '../model/plan.ts'
import { dependencyGraph } from './graph.ts'
import { groupBy, isUp, sharedServices, type Tasks, type Unit } from './unit.ts'

/**
 * Containers that must restart because of what happens to others: those that share a namespace with a
 * container that gets a new one, and those that asked for it with `depends_on: { restart: true }`.
 */
export function follow(units: readonly Unit[]): readonly Unit[] {
  const byService = groupBy(units, ({ service }) => service)
  for (const service of dependencyGraph(units, 'wanted').order) {
    const here = byService.get(service) ?? []
    byService.set(
      service,
      here.map((unit) => ({ ...unit, tasks: followed(unit, byService) })),
    )
  }
  return [...byService.values()].flat()
}

function followed(unit: Unit, byService: ReadonlyMap<string, readonly Unit[]>): Tasks {
  const { tasks, wanted, observed } = unit
  const untouched = tasks.stop === undefined && tasks.remove === undefined
  if (wanted === null || isOneOff(wanted.spec) || !untouched || !isUp(observed)) return tasks
  const replicas = (service: string) => byService.get(service) ?? []
  // Of whoever lends a namespace only the replica that does so counts.
  const lenders = sharedServices(wanted.spec)
  const lender = lenders.find((service) =>
    replicas(service).some(({ replica, tasks }) => replica === 1 && tasks.start !== undefined),
  )
  const cause =
    lender ??
    wanted.dependsOn.find(
      ({ service, restart }) =>
        restart &&
        !lenders.includes(service) &&
        replicas(service).some(({ tasks }) => isRestart(tasks)),
    )?.service
  if (cause === undefined) return tasks
  const because: Reason = { kind: 'dependency', service: cause }
  return { ...tasks, stop: because, start: because }
}

/** Or it has ended by itself, and its policy starts it again. */
const isRestart = ({ start, stop, remove }: Tasks): boolean =>
  start !== undefined && (stop !== undefined || remove !== undefined || start.kind === 'exited')
