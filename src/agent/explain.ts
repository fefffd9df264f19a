import { type Address, replicaAddress } from '../model/address.ts'
import type { Dependency, DesiredState, RestartPolicy } from '../model/desired.ts'
import type { PakEvent, PlanEnded } from '../model/events.ts'
import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import type { ContainerStatus } from '../model/status.ts'
import type { HealthState } from './health.ts'

const MOST_ENDS = 5
const MOST_EVENTS = 10

/** All that is known of why a service is as it is. Nothing in it is made up: what is not known is not there. */
export interface Explanation {
  readonly project: string
  readonly service: string
  /** Whether the last `up` asked for it, and nobody took that back. */
  readonly wanted: boolean
  /** Sorted by name. Empty: it has none. */
  readonly containers: readonly Story[]
  /** Dependencies whose condition is not met now. */
  readonly waitsFor: readonly Waiting[]
  /** What kept it from being started last, where nothing was done to it since. */
  readonly failure: { readonly time: string; readonly message: string } | null
  /** The last that happened to it, oldest first. */
  readonly events: readonly PakEvent[]
}

/** One container; events are the newest of their kind. */
export interface Story {
  readonly container: string
  readonly on: Address
  readonly status: ContainerStatus
  readonly restart: RestartPolicy
  readonly restartCount: number
  readonly created: PakEvent | null
  readonly started: PakEvent | null
  /** Ends by itself, newest first. */
  readonly ends: readonly PakEvent[]
  readonly oom: PakEvent | null
  /** Results of this run, oldest first; `null`: no check, or it does not run. */
  readonly health: HealthState | null
  readonly sickened: PakEvent | null
  /** The last repair of what somebody else changed. */
  readonly drift: PakEvent | null
}

export interface Waiting {
  readonly service: string
  readonly condition: Dependency['condition']
  /** What it is instead. */
  readonly fact: string
}

export interface ExplainFacts {
  readonly project: string
  readonly service: string
  readonly observed: ObservedState | null
  readonly kept: DesiredState | null
  /** Of the project, oldest first. */
  readonly events: readonly PakEvent[]
  readonly healthOf: (containerId: string) => HealthState | null
}

/** Pure. */
export function explain(facts: ExplainFacts): Explanation {
  const { project, service, observed, kept, events } = facts
  const own = events.filter(({ on }) => isOf(on, service))
  const containers = (observed?.containers ?? []).filter((one) => one.service === service)
  const declared = kept?.services.find(({ name }) => name === service)
  const dependsOn = declared?.dependsOn ?? containers[0]?.dependsOn ?? []
  return {
    project,
    service,
    wanted: declared !== undefined,
    containers: containers.map((container) => storyOf(container, own, facts.healthOf)),
    waitsFor: dependsOn.flatMap((dependency) => waitingFor(dependency, observed)),
    failure: failureOf(events, service),
    events: own.slice(-MOST_EVENTS),
  }
}

function storyOf(
  { id, name, service, replica, status, spec, restartCount }: ObservedContainer,
  events: readonly PakEvent[],
  healthOf: ExplainFacts['healthOf'],
): Story {
  const on = replicaAddress(service, replica)
  const own = events.filter((event) => event.on === on)
  const last = (fits: (event: PakEvent) => boolean) => own.findLast(fits) ?? null
  const ofType = (type: string) => last((event) => event.type === type)
  return {
    container: name,
    on,
    status,
    restart: spec.restart,
    restartCount,
    created: ofType('container.created'),
    started: ofType('container.started'),
    ends: own
      .filter(({ type }) => type === 'container.exited')
      .slice(-MOST_ENDS)
      .reverse(),
    oom: ofType('container.oom'),
    health: healthOf(id),
    sickened: ofType('container.sickened'),
    drift: last(({ because }) => because?.kind === 'drift'),
  }
}

function waitingFor(
  { service, condition }: Dependency,
  observed: ObservedState | null,
): readonly Waiting[] {
  const found = (observed?.containers ?? []).filter((container) => container.service === service)
  if (found.length === 0) return [{ service, condition, fact: 'there is no container of it' }]
  const lacking = found.find(({ status }) => !isMet(status, condition))
  return lacking === undefined
    ? []
    : [{ service, condition, fact: `${lacking.name} ${stateFact(lacking.status)}` }]
}

function isMet(status: ContainerStatus, condition: Dependency['condition']): boolean {
  switch (condition) {
    case 'service_started':
      return status.state !== 'created'
    case 'service_healthy':
      return status.state === 'running' && status.health === 'healthy'
    case 'service_completed_successfully':
      return status.state === 'stopped' && status.exitCode === 0 && !status.byUser
  }
}

function stateFact(status: ContainerStatus): string {
  switch (status.state) {
    case 'created':
      return 'has never run'
    case 'stopped':
      return status.exitCode < 0 ? 'has ended' : `has ended with ${status.exitCode}`
    default:
      return status.health === null ? `is ${status.state}` : `is ${status.state}, ${status.health}`
  }
}

/** The newest step on it that failed, unless one of the same kind was done since. */
function failureOf(events: readonly PakEvent[], service: string): Explanation['failure'] {
  for (const { time, type, on, plan } of [...events].reverse()) {
    if (type === 'container.started' && isOf(on, service)) return null
    const failed = isEnded(plan) ? plan.failed.find(({ step }) => isStepOf(step, service)) : null
    if (failed) return { time, message: failed.message }
  }
  return null
}

const isEnded = (plan: PakEvent['plan']): plan is PlanEnded => plan !== undefined && 'ok' in plan

/** `<op>:<address>`. */
const isStepOf = (step: string, service: string): boolean =>
  isOf(step.slice(step.indexOf(':') + 1), service)

export const isOf = (on: string, service: string): boolean =>
  on === `service/${service}` || on.startsWith(`service/${service}/`)
