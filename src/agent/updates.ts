import type { PakError } from '../errors.ts'
import type { ApplyResult } from '../executor/apply.ts'
import { serviceAddress } from '../model/address.ts'
import type { DesiredState, Network, Service, Volume } from '../model/desired.ts'
import type { PakEvent } from '../model/events.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Plan } from '../model/plan.ts'
import { isOf } from './explain.ts'

/** Where the last update of a service stands, and what it was before. */
export interface Update {
  readonly state: 'under way' | 'paused' | 'rolling back' | 'done'
  /** `null`: nothing to go back to. */
  readonly before: Before | null
  /** While it is rolled back by a user: what a rollback of that goes to. */
  readonly next?: Before
}

/** What a rollback goes to; the image by its digest. */
export interface Before {
  readonly service: Service
  readonly networks: readonly Network[]
  readonly volumes: readonly Volume[]
}

/** By service. */
export type Updates = ReadonlyMap<string, Update>

/** What has to be remembered before a plan that makes `desired` of `kept` touches anything. Pure. */
export function begun(
  updates: Updates,
  { steps }: Plan,
  sides: {
    readonly kept: DesiredState | null
    readonly desired: DesiredState
    readonly observed: ObservedState
  },
): Updates {
  const { kept, desired, observed } = sides
  const declared = new Set(desired.services.map(({ name }) => name))
  const known = new Map([...updates].filter(([name]) => declared.has(name)))
  for (const service of desired.services) {
    const { name } = service
    const touched = steps.some(
      ({ op, on }) => (op === 'container.create' || op === 'container.update') && isOf(on, name),
    )
    const former = kept === null ? null : beforeOf(kept, name, observed)
    if (!touched || former === null) continue
    const last = known.get(name)
    const open = last !== undefined && last.state !== 'done' ? last.before : null
    const same = isSame(former.service, service, observed)
    if (same && open === null) continue
    const before = open ?? former
    const state = service.update === undefined ? 'done' : 'under way'
    known.set(name, { state, before: isSame(before.service, service, observed) ? null : before })
  }
  return known
}

/** A service as it is now. `null`: there is none of it. */
export function beforeOf(
  { services, networks, volumes }: DesiredState,
  name: string,
  observed: ObservedState,
): Before | null {
  const service = services.find((one) => one.name === name)
  const container = observed.containers.find((one) => one.service === name)
  if (service === undefined || container === undefined) return null
  const { imageDigest } = container
  const pinned = imageDigest === null ? service : { ...service, imageDigest }
  return { service: pinned, networks, volumes }
}

function isSame(one: Service, other: Service, { images }: ObservedState): boolean {
  const { source } = other.container
  const digest = source.kind === 'image' ? (other.imageDigest ?? images[source.reference]) : null
  if (digest !== null && one.imageDigest !== digest) return false
  return JSON.stringify(version(one)) === JSON.stringify(version(other))
}

/** How many there are, and how they are replaced, is no version. */
function version({ imageDigest: _, replicas: __, update: ___, ...rest }: Service) {
  return rest
}

/** What the planner has to know. */
export function standing(updates: Updates): {
  readonly updating: ReadonlySet<string>
  readonly paused: ReadonlySet<string>
} {
  const of = (...states: readonly Update['state'][]) =>
    new Set([...updates].flatMap(([name, { state }]) => (states.includes(state) ? [name] : [])))
  return { updating: of('under way', 'rolling back'), paused: of('paused') }
}

/** The services that are rolled back as they were, with what they stood on. */
export function restored(desired: DesiredState, updates: Updates): DesiredState {
  const befores = [...updates.values()].flatMap(({ state, before }) =>
    state === 'rolling back' && before !== null ? [before] : [],
  )
  if (befores.length === 0) return desired
  const back = new Map(befores.map(({ service }) => [service.name, service]))
  return {
    ...desired,
    services: desired.services.map((service) => {
      const before = back.get(service.name)
      return before === undefined ? service : { ...before, replicas: replicasOf(before, service) }
    }),
    networks: joined(
      desired.networks,
      befores.flatMap(({ networks }) => networks),
    ),
    volumes: joined(
      desired.volumes,
      befores.flatMap(({ volumes }) => volumes),
    ),
  }
}

/** As many as there are now, but of a version with a name or an address that only one can have. */
function replicasOf({ containerName, container, replicas }: Service, now: Service): number {
  const single =
    containerName !== null ||
    container.networks.some(
      ({ ipv4, ipv6, mac }) => ipv4 !== null || ipv6 !== undefined || mac !== undefined,
    )
  return single ? replicas : now.replicas
}

function joined<T extends { readonly name: string }>(now: readonly T[], former: readonly T[]) {
  const names = new Set(now.map(({ name }) => name))
  const gone = former.filter(({ name }) => !names.has(name) && names.add(name))
  return [...now, ...gone].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

export interface Conclusion {
  readonly updates: Updates
  /** Services that are rolled back now. */
  readonly back: readonly string[]
  readonly paused: readonly string[]
  readonly events: readonly PakEvent[]
}

/** What a plan has made of the updates under way. Pure. */
export function concluded(
  updates: Updates,
  {
    desired,
    result,
    time,
    scope = null,
  }: {
    readonly desired: DesiredState
    readonly result: ApplyResult
    readonly time: string
    /** Services that the plan was about; `null`: all. */
    readonly scope?: ReadonlySet<string> | null
  },
): Conclusion {
  const known = new Map(updates)
  const [back, paused, events]: [string[], string[], PakEvent[]] = [[], [], []]
  for (const [name, update] of updates) {
    if (update.state !== 'under way' && update.state !== 'rolling back') continue
    if (scope !== null && !scope.has(name)) continue
    const policy = desired.services.find((service) => service.name === name)?.update
    const next = verdictOf(update, { name, result, onFailure: policy?.onFailure ?? 'pause' })
    if (next === null) continue
    known.set(name, next.update)
    if (next.type === 'update.failed') (next.update.state === 'paused' ? paused : back).push(name)
    const because =
      next.message === null ? null : ({ kind: 'failed', message: next.message } as const)
    const { project } = desired
    events.push({ time, project, type: next.type, on: serviceAddress(name), because })
  }
  return { updates: known, back, paused, events }
}

/** `null`: it goes on. */
function verdictOf(
  update: Update,
  at: { readonly name: string; readonly result: ApplyResult; readonly onFailure: string },
) {
  const { name, result, onFailure } = at
  const own = (id: string) => isOf(id.slice(id.indexOf(':') + 1), name)
  const failed = result.failed.filter(({ id }) => own(id))
  const trouble = failed.find(({ error }) => error.code !== 'cancelled')
  if (trouble === undefined) {
    if (failed.length > 0 || result.skipped.some(own)) return null
    const { state, before, next = null } = update
    const went = state === 'rolling back'
    const now: Update = { state: 'done', before: went ? next : before }
    return { update: now, type: went ? 'update.rolled_back' : 'update.completed', message: null }
  }
  const message = (trouble.error satisfies PakError).message
  if (update.state === 'under way' && onFailure === 'continue') return null
  const returns = update.state === 'under way' && onFailure === 'rollback' && update.before !== null
  const now: Update = { before: update.before, state: returns ? 'rolling back' : 'paused' }
  return { update: now, type: 'update.failed', message }
}
