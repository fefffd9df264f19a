import type { DesiredState } from '../model/desired.ts'
import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import { isOneOff } from '../model/one-off.ts'
import type { Plan } from '../model/plan.ts'
import { batchesOf, isPossible } from './batches.ts'
import type { Draft, RecordWork, VolumeWork } from './draft.ts'
import { compareLimits } from './fields.ts'
import { firewallWorks } from './firewall.ts'
import { follow } from './follow.ts'
import { handNotes } from './hand-notes.ts'
import { holdBack } from './hold.ts'
import { overlooked, overlooking } from './leave.ts'
import { declaredNetworks, type NetworkWork, replacedNetworks, unusedNetworks } from './networks.ts'
import type { PlanOptions } from './options.ts'
import { type Scope, scopeOf } from './scope.ts'
import { sequence } from './sequence.ts'
import { type SurgeSides, withSurge } from './surge.ts'
import {
  asItIs,
  byPlace,
  compareText,
  isLasting,
  MISSING,
  ORPHAN,
  type Unit,
  wantedOf,
} from './unit.ts'
import { judge, judgeOutsider } from './verdict.ts'

/** Everything that has to be done so that what is becomes what should be, with its reasons. */
export function plan(desired: DesiredState, seen: ObservedState, options: PlanOptions): Plan {
  const leave = options.leave ?? new Set()
  const observed = overlooking(seen, leave)
  const scope = scopeOf(desired, options)
  const declared = declaredNetworks(desired, observed, scope)
  const replaced = replacedNetworks(declared)
  const at: Sides = { desired, observed, options, scope, declared, replaced }
  const judged = [...declaredUnits(at), ...otherUnits(at)].sort(byPlace)
  const units = follow(holdBack(judged, options.hold ?? new Set()))
  const batched = draftOf(at, withSurge(units, at), 'in batches')
  const rolling = sequence(batched)
  if (isPossible(rolling)) return rolling
  const names = [...new Set((batched.batches ?? []).map(({ service }) => `\`${service}\``))]
  const words = `${names.join(', ')}: what depends on them is in the way of an update in batches; all at once`
  const whole = sequence(draftOf(at, units, 'all at once'))
  return { ...whole, warnings: [...whole.warnings, words] }
}

function draftOf(at: Sides, units: readonly Unit[], how: 'in batches' | 'all at once'): Draft {
  const { desired, observed, options, declared } = at
  const updating = options.updating ?? new Set()
  const rolling = { services: desired.services, updating, now: options.now }
  const batches = how === 'in batches' ? batchesOf(units, rolling) : []
  const lasting = units.filter(isLasting)
  const undeclared = observed.networks.filter(
    ({ spec }) => !desired.networks.some(({ name }) => name === spec.name),
  )
  const networks = [...declared, ...unusedNetworks(undeclared, lasting)]
  return {
    project: desired.project,
    record: recordWork(desired, observed),
    networks: networks.sort((a, b) => compareText(a.name, b.name)),
    volumes: volumeWork(at, lasting),
    units,
    batches,
    firewall: overlooked(
      firewallWorks({ observed, networks, units, services: desired.services, batches }),
      { project: desired.project, leave: options.leave ?? new Set() },
    ),
    stop: { graceMs: options.timeoutMs, signal: null, byUser: false },
    ...(options.cause === 'loop' ? { lookedAt: options.now } : {}),
    waitTimeoutMs: options.waitTimeoutMs,
    warnings: warningsOf(at, units),
  }
}

interface Sides extends SurgeSides {
  readonly scope: Scope
  readonly declared: readonly NetworkWork[]
}

function recordWork(desired: DesiredState, observed: ObservedState): RecordWork | null {
  const { limits } = desired
  if (observed.record === null) return { verb: 'create', because: MISSING, limits }
  const fields = compareLimits(observed.record.limits, limits)
  if (fields.length > 0) return { verb: 'update', because: { kind: 'changed', fields }, limits }
  const fact = observed.record.drift.join('; ')
  return fact === '' ? null : { verb: 'update', because: { kind: 'drift', fact }, limits }
}

/** Every replica that the file asks for, as far as this plan is about it. */
function declaredUnits(at: Sides): readonly Unit[] {
  const { desired, observed, options, scope, replaced } = at
  const known = new Map(observed.containers.map((there) => [placeOf(there), there]))
  return desired.services
    .filter(({ name }) => scope.services.has(name))
    .flatMap((service) =>
      Array.from({ length: service.replicas }, (_, index) => {
        const place = { service: service.name, replica: index + 1 }
        const there = known.get(placeOf(place)) ?? null
        // An update that has failed goes no further: what is left of the version before lives on as it is.
        const kept = options.paused?.has(service.name) === true ? there : null
        const wanted =
          kept === null ? wantedOf(service, place.replica, { desired, observed }) : asItIs(kept)
        const forced = options.forceRecreate && scope.selected.has(service.name)
        const tasks = judge({ wanted, observed: there, replaced, forced, options })
        return { ...place, observed: there, wanted, managed: true, tasks }
      }),
    )
}

const placeOf = ({ service, replica }: Pick<Unit, 'service' | 'replica'>): string =>
  `${service}/${replica}`

/** Containers that are there but that the file, or this plan's scope, does not have. */
function otherUnits(at: Sides): readonly Unit[] {
  const replicas = new Map(at.desired.services.map(({ name, replicas }) => [name, replicas]))
  const counts = new Map<string, number>()
  for (const { service } of at.observed.containers) {
    counts.set(service, (counts.get(service) ?? 0) + 1)
  }
  const names = namesOf(at)
  return at.observed.containers.flatMap((there) => {
    const { service, replica } = there
    const to = replicas.get(service)
    const scoped = at.scope.services.has(service)
    if (scoped && to !== undefined && replica <= to) return []
    if (scoped && to !== undefined) {
      return [leaving(there, { kind: 'scaled', from: counts.get(service) ?? 0, to })]
    }
    // A service that was renamed and kept its `container_name` takes the name over.
    const inTheWay = to === undefined && names.has(there.name)
    const goes = at.options.removeOrphans && !isOneOff(there.spec)
    if (to === undefined && (goes || inTheWay)) return [leaving(there, ORPHAN)]
    const tasks = judgeOutsider(there, at.replaced)
    return [{ service, replica, observed: there, wanted: asItIs(there), managed: false, tasks }]
  })
}

function namesOf({ desired, observed, scope }: Sides): ReadonlySet<string> {
  const scoped = desired.services.filter(({ name }) => scope.services.has(name))
  return new Set(
    scoped.flatMap((service) =>
      Array.from(
        { length: service.replicas },
        (_, index) => wantedOf(service, index + 1, { desired, observed }).container,
      ),
    ),
  )
}

/** A container that goes for good. */
export function leaving(
  observed: ObservedContainer,
  because: Unit['tasks']['remove'] & object,
): Unit {
  const { service, replica, status } = observed
  const stop = status.state === 'running' || status.state === 'paused' ? { stop: because } : {}
  const tasks = { ...stop, remove: because }
  return { service, replica, observed, wanted: null, managed: true, tasks }
}

function volumeWork({ desired, observed, options, scope }: Sides, units: readonly Unit[]) {
  const there = new Set(observed.volumes.map(({ spec }) => spec.name))
  const declared = new Set(desired.volumes.map(({ name }) => name))
  const works: VolumeWork[] = desired.volumes
    .filter(({ name }) => scope.volumes.has(name) && !there.has(name))
    .map((volume) => ({ verb: 'create', because: MISSING, volume }))
  if (options.removeVolumes) {
    const used = volumesOf(units)
    const gone = observed.volumes.filter(({ spec }) => !declared.has(spec.name))
    for (const { spec } of gone) {
      if (!used.has(spec.name)) works.push({ verb: 'remove', because: ORPHAN, volume: spec })
    }
  }
  return works.sort((a, b) => compareText(a.volume.name, b.volume.name))
}

/** Volumes that containers use which stay. */
export function volumesOf(units: readonly Unit[]): ReadonlySet<string> {
  const mounts = units.flatMap(({ wanted }) => wanted?.spec.mounts ?? [])
  return new Set(mounts.flatMap((m) => (m.kind === 'volume' && m.volume ? [m.volume] : [])))
}

function warningsOf({ desired, scope }: Sides, units: readonly Unit[]): readonly string[] {
  const declared = new Set(desired.services.map(({ name }) => name))
  const orphans = units
    .filter(({ service, tasks }) => !declared.has(service) && tasks.remove === undefined)
    .flatMap(({ observed }) =>
      observed === null || isOneOff(observed.spec) ? [] : [observed.name],
    )
  const unknown = scope.unknown.map((name) => `service \`${name}\` is not in the file`)
  const notes = [...unknown, ...units.flatMap(pausedNote), ...units.flatMap(handNotes)]
  if (orphans.length === 0) return notes
  const names = orphans.sort(compareText).map((name) => `\`${name}\``)
  const words = `${names.join(', ')}: the file has no such service; --remove-orphans removes it`
  return [...notes, words]
}

/** `up` takes nobody's pause away, but does not pass over it in silence. */
function pausedNote({ observed, managed, tasks }: Unit): readonly string[] {
  if (observed?.status.state !== 'paused' || !managed || tasks.stop !== undefined) return []
  return [`\`${observed.name}\` is paused; pak unpause ${observed.service} lets it go on`]
}
