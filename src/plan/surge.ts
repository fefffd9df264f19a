import type { DesiredState, Service } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import type { FieldChange, Reason } from '../model/plan.ts'
import { takesTraffic } from '../model/traffic.ts'
import { isLate, isRenewed, placeOf } from './batches.ts'
import type { PlanOptions } from './options.ts'
import { asItIs, byPlace, groupBy, isUp, type Unit, wantedOf } from './unit.ts'
import { judge } from './verdict.ts'

export interface SurgeSides {
  readonly desired: DesiredState
  readonly observed: ObservedState
  readonly options: PlanOptions
  /** Networks that have to be made anew, with what differs. */
  readonly replaced: ReadonlyMap<string, readonly FieldChange[]>
}

/**
 * The same with the replicas that stand in while others of a `start-first` service are replaced: they
 * have the next numbers, start before anything stops, and leave at the end of the update. What there is
 * of them from a plan that was cut short goes on.
 */
export function withSurge(units: readonly Unit[], at: SurgeSides): readonly Unit[] {
  const byService = new Map<string, readonly Unit[]>(groupBy(units, ({ service }) => service))
  for (const service of at.desired.services) {
    const here = byService.get(service.name)
    if (here === undefined || service.update?.order !== 'start-first') continue
    const paused = at.options.paused?.has(service.name) === true
    byService.set(
      service.name,
      paused ? standingIn(here, at) : surged(here, { ...at, service, update: service.update }),
    )
  }
  return [...byService.values()].flat().sort(byPlace)
}

interface Surging extends SurgeSides {
  readonly service: Service
  readonly update: NonNullable<Service['update']>
}

function surged(here: readonly Unit[], at: Surging): readonly Unit[] {
  const { options, service, update } = at
  const updating = options.updating?.has(service.name) === true
  const lasting = here.filter(({ managed, wanted }) => managed && wanted !== null)
  const renewed = lasting.filter(isRenewed).length
  const rolling = { policy: update, updating, now: options.now }
  if (renewed === 0 && !(updating && lasting.some((unit) => isLate(unit, rolling)))) return here
  const most = update.parallelism === 0 ? renewed : Math.min(update.parallelism, renewed)
  const room = renewed === 0 ? Number.POSITIVE_INFINITY : most
  const found = updating ? here.flatMap((unit) => asWanted(unit, at) ?? []).slice(0, room) : []
  const places = new Set(found.map(placeOf))
  const others = here.filter((unit) => !places.has(placeOf(unit))).map(untilTheEnd)
  return [...others, ...found, ...anew(most - found.length, here, at)]
}

/** A replica more than the file wants, as the update makes them; `null`: it is not. */
function asWanted(unit: Unit, { desired, observed, options, replaced, service }: Surging) {
  const there = unit.observed
  if (unit.wanted !== null || there === null) return null
  const wanted = wantedOf(service, unit.replica, { desired, observed })
  const tasks = judge({ wanted, observed: there, replaced, forced: false, options })
  return tasks.remove === undefined ? { ...unit, wanted, tasks, surge: reasonOf(service) } : null
}

/** What would leave, and answers until then, leaves only when others do. */
function untilTheEnd(unit: Unit): Unit {
  const { observed, wanted, tasks } = unit
  if (wanted !== null || observed === null || tasks.remove === undefined || !isUp(observed))
    return unit
  return { ...unit, wanted: asItIs(observed), tasks: {}, surge: tasks.remove }
}

function anew(count: number, here: readonly Unit[], at: Surging): readonly Unit[] {
  const { desired, observed, service } = at
  const numbers = new Set(here.map(({ replica }) => replica))
  const names = new Set([
    ...observed.containers.map(({ name }) => name),
    ...desired.services.flatMap(({ containerName }) => containerName ?? []),
  ])
  const made: Unit[] = []
  for (let replica = service.replicas + 1; made.length < count; replica += 1) {
    const wanted = wantedOf(service, replica, { desired, observed })
    if (numbers.has(replica) || names.has(wanted.container)) continue
    const surge = reasonOf(service)
    const tasks = { create: surge, start: surge }
    made.push({
      service: service.name,
      replica,
      observed: null,
      wanted,
      managed: true,
      tasks,
      surge,
    })
  }
  return made
}

const reasonOf = ({ name }: Service): Reason => ({ kind: 'surge', service: name })

/** After an update that has failed, who stands in stays while it is needed. */
function standingIn(here: readonly Unit[], { options, replaced }: SurgeSides): readonly Unit[] {
  const fit = ({ observed }: Unit) => observed !== null && takesTraffic(observed)
  if (here.every((unit) => unit.wanted === null || fit(unit))) return here
  return here.map((unit) => {
    if (unit.wanted !== null || unit.observed === null || !fit(unit)) return unit
    const wanted = asItIs(unit.observed)
    const tasks = judge({ wanted, observed: unit.observed, replaced, forced: false, options })
    return { ...unit, wanted, tasks }
  })
}
