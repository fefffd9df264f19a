import { serviceAddress } from '../model/address.ts'
import { isAhead } from '../model/clock.ts'
import type { Service, UpdatePolicy } from '../model/desired.ts'
import type { Plan, Reason, Step } from '../model/plan.ts'
import { takesTraffic } from '../model/traffic.ts'
import type { Draft } from './draft.ts'
import { dependencyGraph } from './graph.ts'
import { id, step } from './step.ts'
import { compareText, containerId, groupBy, isLasting, isUp, type Unit } from './unit.ts'
import { isCompleted } from './verdict.ts'

/** Replicas that are made anew together. Batches of all services are one chain: each begins after the one before. */
export interface Batch {
  readonly service: string
  /** From 1, within its service. */
  readonly number: number
  readonly of: number
  readonly policy: UpdatePolicy
  readonly units: readonly Unit[]
}

export interface Rolling {
  readonly services: readonly Service[]
  readonly updating: ReadonlySet<string>
  /** RFC 3339. */
  readonly now: string
}

/**
 * Services with an update policy of which something that runs is made anew, dependencies first. Replicas
 * that do not run, or have not shown yet that they work, come before any that still does.
 */
export function batchesOf(units: readonly Unit[], rolling: Rolling): readonly Batch[] {
  const services = new Map(rolling.services.map((service) => [service.name, service]))
  const byService = groupBy(
    units.filter(({ managed, wanted }) => managed && wanted !== null),
    ({ service }) => service,
  )
  return dependencyGraph(units, 'wanted').order.flatMap((service) => {
    const policy = services.get(service)?.update
    if (policy === undefined) return []
    const here = byService.get(service) ?? []
    const renewed = here.filter(isRenewed)
    const updating = rolling.updating.has(service)
    if (renewed.length === 0 && !updating) return []
    const late = here.filter((unit) => isLate(unit, { policy, updating, now: rolling.now }))
    const lists = [...(late.length === 0 ? [] : [late]), ...chunks(renewed, policy.parallelism)]
    return lists.map(
      (list, index): Batch => ({
        service,
        number: index + 1,
        of: lists.length,
        policy,
        units: list,
      }),
    )
  })
}

export interface UnderWay {
  readonly policy: UpdatePolicy
  readonly updating: boolean
  /** RFC 3339. */
  readonly now: string
}

/** It starts and nothing stops for it, or it has not shown yet that it works. */
export function isLate(unit: Unit, { policy, updating, now }: UnderWay): boolean {
  if (isRenewed(unit) || (unit.surge ?? null)?.kind === 'scaled') return false
  return unit.tasks.start !== undefined || (updating && !isSettled(unit, policy, now))
}

/** What runs is taken down for it. */
export const isRenewed = ({ tasks, observed }: Unit): boolean =>
  isUp(observed) && tasks.remove !== undefined && tasks.create !== undefined

function isSettled({ observed }: Unit, { monitorMs }: UpdatePolicy, now: string): boolean {
  if (observed === null) return true
  const { status, spec } = observed
  if (status.state === 'stopped') return status.byUser || isCompleted(observed)
  if (status.state !== 'running') return true
  if (spec.healthcheck !== null) return takesTraffic(observed)
  return !isAhead(Date.parse(status.startedAt) + monitorMs, Date.parse(now), monitorMs)
}

function chunks(units: readonly Unit[], size: number): readonly (readonly Unit[])[] {
  if (units.length === 0) return []
  if (size === 0) return [units]
  const sorted = [...units].sort((a, b) => fitness(a) - fitness(b) || a.replica - b.replica)
  return Array.from({ length: Math.ceil(sorted.length / size) }, (_, index) =>
    sorted.slice(index * size, (index + 1) * size),
  )
}

/** Who takes connections goes last. */
const fitness = ({ observed }: Unit): number =>
  observed !== null && takesTraffic(observed) ? 1 : 0

/** In which batch a replica is, from 1 over all services. */
export type Ranks = ReadonlyMap<string, number>

export const ranksOf = (batches: readonly Batch[]): Ranks =>
  new Map(batches.flatMap(({ units }, index) => units.map((unit) => [placeOf(unit), index + 1])))

/** By service: the batch that is its last. */
export const endsOf = (batches: readonly Batch[]): ReadonlyMap<string, number> =>
  new Map(batches.map(({ service }, index) => [service, index + 1]))

export const placeOf = ({ service, replica }: Pick<Unit, 'service' | 'replica'>): string =>
  `${service}/${replica}`

const addressOf = ({ service, number }: Batch) => serviceAddress(`${service}/batch-${number}`)

export interface Gates {
  /** For each replica what has to be before it is stopped, or stands in: the end of the batch before. */
  readonly begin: ReadonlyMap<string, string>
  /** For each service that is updated what has to be before those leave who stood in. */
  readonly end: ReadonlyMap<string, string>
}

export function gatesOf(draft: Draft): Gates {
  const batches = draft.batches ?? []
  const ends = batches.map((batch, index) => endOf(batch, index, draft))
  return {
    begin: new Map(
      batches.flatMap(({ units }, index) => {
        const gate = ends[index - 1]
        return gate === undefined ? [] : units.map((unit) => [placeOf(unit), gate] as const)
      }),
    ),
    end: new Map(batches.flatMap(({ service }, index) => [[service, ends[index] ?? ''] as const])),
  }
}

/** What lets a batch take connections, or where nothing has to, what shows that it works. */
function endOf(batch: Batch, index: number, { firewall }: Draft): string {
  const admits = firewall.between?.[index] != null
  return id(admits ? 'firewall.admit' : 'service.wait', addressOf(batch))
}

/** What ends the last batch. */
export function lastOf(draft: Draft): readonly string[] {
  const batches = draft.batches ?? []
  const last = batches.at(-1)
  return last === undefined ? [] : [endOf(last, batches.length - 1, draft)]
}

/** The end of each batch: it works, and takes connections. */
export function batchSteps(draft: Draft): readonly Step[] {
  const batches = draft.batches ?? []
  return batches.flatMap((batch, index) => {
    const { service, number, of, policy, units } = batch
    const on = addressOf(batch)
    const because: Reason = { kind: 'batch', service, number, of }
    const starts = units.map((unit) => containerId('start', unit))
    const before = batches[index - 1]
    const after = before === undefined ? starts : [...starts, id('service.wait', addressOf(before))]
    const containers = namesIn(batch)
    const { monitorMs } = policy
    const earlier = batches
      .slice(0, index)
      .filter((other) => other.service === service)
      .flatMap(namesIn)
    const update = {
      monitorMs,
      delayMs: number < of ? policy.delayMs : 0,
      tolerated: toleratedOf(batch, draft),
      earlier,
    }
    const timeoutMs = (draft.waitTimeoutMs ?? 0) + monitorMs
    const args = { containers, condition: 'service_updated' as const, timeoutMs, update }
    const wait = step('service.wait', args, { on, because, after })
    const work = draft.firewall.between?.[index]
    if (work == null) return [wait]
    const { because: _, ...admitted } = work
    return [wait, step('firewall.admit', admitted, { on, because, after: [wait.id] })]
  })
}

const namesIn = ({ units }: Batch): readonly string[] =>
  units.flatMap(({ wanted }) => wanted?.container ?? []).sort(compareText)

function toleratedOf({ service, policy }: Batch, { units }: Draft): number {
  const all = units.filter((unit) => unit.service === service && isLasting(unit)).length
  return policy.onFailure === 'continue' ? all : Math.floor(policy.maxFailureRatio * all)
}

/** False where what is updated must make way for each other: then no order of batches is possible. */
export function isPossible({ steps }: Plan): boolean {
  const seen = new Set<string>()
  return steps.every(({ id: own, needs }) => {
    seen.add(own)
    return needs.every((need) => seen.has(need))
  })
}
