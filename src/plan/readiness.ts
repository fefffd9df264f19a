import { type Address, serviceAddress } from '../model/address.ts'
import type { Reason, Step, StepArgs } from '../model/plan.ts'
import { ranksOf } from './batches.ts'
import type { Draft } from './draft.ts'
import { dependencyGraph } from './graph.ts'
import { id, step } from './step.ts'
import { containerId, groupBy, isLasting, sharedServices, type Unit } from './unit.ts'

type Condition = StepArgs['service.wait']['condition']

/** For each service the starts and waits that come before its own starts. */
export function startingNeeds(draft: Draft): ReadonlyMap<string, readonly string[]> {
  const { order, dependencies } = dependencyGraph(draft.units, 'wanted')
  const starts = idsByService(draft.units, 'start')
  const waits = new Map(waitsOf(draft).map((wait) => [keyOf(wait), wait.id]))
  const lasting = draft.units.filter(isLasting)
  const declared = declaredConditions(lasting)
  const ranks = ranksOf(draft.batches ?? [])
  const guests = new Map(
    lasting.flatMap(({ service, wanted }) =>
      wanted === null ? [] : [[service, new Set(sharedServices(wanted.spec))] as const],
    ),
  )
  const lends = (lender: string, guest: string) =>
    ranks.has(`${lender}/1`) && guests.get(guest)?.has(lender) === true
  return new Map(
    order.map((service) => [
      service,
      dependencies(service).flatMap((name) => {
        const conditions = declared.get(service)?.get(name) ?? []
        const ids = [...conditions].flatMap((condition) => waits.get(`${name} ${condition}`) ?? [])
        if (ids.length > 0) return ids
        // It goes with the one replica in whose namespaces it lives.
        return lends(name, service)
          ? containerId('start', { service: name, replica: 1 })
          : (starts.get(name) ?? [])
      }),
    ]),
  )
}

/** One wait for each service and condition that something which starts in this plan depends on. */
export function waitSteps(draft: Draft): readonly Step[] {
  const starts = idsByService(draft.units, 'start')
  return waitsOf(draft).map(({ service, condition, on, containers }) => {
    const args = { containers, condition, timeoutMs: draft.waitTimeoutMs ?? 0 }
    const because: Reason = { kind: 'dependency', service }
    return step('service.wait', args, { on, because, after: starts.get(service) ?? [] })
  })
}

interface Wait {
  readonly service: string
  readonly condition: Condition
  readonly on: Address
  readonly id: string
  readonly containers: readonly string[]
}

const keyOf = ({ service, condition }: Wait): string => `${service} ${condition}`

function waitsOf(draft: Draft): readonly Wait[] {
  if (draft.waitTimeoutMs === null) return []
  const { dependencies } = dependencyGraph(draft.units, 'wanted')
  const replicas = groupBy(draft.units.filter(isLasting), ({ service }) => service)
  const wanted = new Map<string, Set<Condition>>()
  const starting = draft.units.filter(({ tasks }) => tasks.start !== undefined)
  for (const [service, declared] of declaredConditions(starting)) {
    const known = new Set(dependencies(service))
    for (const [name, conditions] of declared) {
      for (const condition of known.has(name) ? conditions : []) {
        if (isMet(replicas.get(name) ?? [], condition)) continue
        wanted.set(name, (wanted.get(name) ?? new Set()).add(condition))
      }
    }
  }
  return [...wanted].flatMap(([service, conditions]) =>
    [...conditions].map((condition) => {
      // Two conditions on one service are two waits: only then the second has an address of its own.
      const apart = conditions.size > 1 && condition === 'service_completed_successfully'
      const on = serviceAddress(apart ? `${service}/completed` : service)
      const containers = (replicas.get(service) ?? []).flatMap((u) => u.wanted?.container ?? [])
      return { service, condition, on, id: id('service.wait', on), containers }
    }),
  )
}

/** service -> what it depends on -> conditions that take a wait. */
function declaredConditions(
  units: readonly Unit[],
): ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<Condition>>> {
  const declared = new Map<string, Map<string, Set<Condition>>>()
  for (const { service, wanted } of units) {
    const here = declared.get(service) ?? new Map<string, Set<Condition>>()
    declared.set(service, here)
    for (const dependency of wanted?.dependsOn ?? []) {
      if (dependency.condition === 'service_started') continue
      const conditions = here.get(dependency.service) ?? new Set()
      here.set(dependency.service, conditions.add(dependency.condition))
    }
  }
  return declared
}

/** Already so, and nothing in this plan undoes it. Out of scope with nothing to start: not awaited. */
function isMet(replicas: readonly Unit[], condition: Condition): boolean {
  const staying = replicas.filter(({ wanted }) => wanted !== null)
  return staying.every(({ managed, tasks, observed }) => {
    const touched = tasks.start !== undefined || tasks.stop !== undefined
    if (touched || observed === null) return false
    const { status } = observed
    if (condition === 'service_healthy') {
      return !managed || (status.state === 'running' && status.health === 'healthy')
    }
    return !managed || (status.state === 'stopped' && status.exitCode === 0 && !status.byUser)
  })
}

function idsByService(
  units: readonly Unit[],
  task: 'start' | 'stop',
): ReadonlyMap<string, readonly string[]> {
  const having = units.filter(
    ({ tasks, surge }) => tasks[task] !== undefined && surge === undefined,
  )
  return new Map(
    [...groupBy(having, ({ service }) => service)].map(([service, members]) => [
      service,
      members.map((unit) => containerId(task, unit)),
    ]),
  )
}
