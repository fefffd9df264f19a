import { networkAddress, projectAddress, replicaAddress, volumeAddress } from '../model/address.ts'
import { isAhead } from '../model/clock.ts'
import type { Step, StepArgs } from '../model/plan.ts'
import { batchSteps, type Gates, gatesOf, placeOf } from './batches.ts'
import { diffContainer } from './diff.ts'
import type { Draft } from './draft.ts'
import { type Holders, holdersOf, obstacles, rivals, volumeNames } from './holders.ts'
import { startingNeeds, waitSteps } from './readiness.ts'
import { id, step } from './step.ts'
import { type Stopping, stoppingOf } from './stopping.ts'
import { compareText, containerId, type Tasks, type Unit, type Wanted } from './unit.ts'

/** The steps of all containers, and the waits among them. */
export function containerSteps(draft: Draft): readonly Step[] {
  const at: Context = {
    draft,
    stops: stoppingOf(draft),
    gates: gatesOf(draft),
    starts: startingNeeds(draft),
    holders: holdersOf(draft.units),
  }
  const steps = draft.units.flatMap((unit) => [
    ...endings(unit, at),
    ...beginnings(unit, at),
    ...departure(unit, at),
  ])
  return [...steps, ...waitSteps(draft), ...batchSteps(draft)]
}

interface Context {
  readonly draft: Draft
  readonly stops: Stopping
  readonly starts: ReadonlyMap<string, readonly string[]>
  readonly gates: Gates
  readonly holders: Holders
}

function endings(unit: Unit, { draft, stops }: Context): readonly Step[] {
  const { tasks, observed } = unit
  if (observed === null) return []
  const on = replicaAddress(unit.service, unit.replica)
  const container = observed.name
  const steps: Step[] = []
  if (tasks.kill !== undefined) {
    const args = { container, signal: draft.stop.signal ?? 'SIGKILL' }
    steps.push(step('container.kill', args, { on, because: tasks.kill }))
  }
  if (tasks.pause !== undefined)
    steps.push(step('container.pause', { container }, { on, because: tasks.pause }))
  if (tasks.unpause !== undefined)
    steps.push(step('container.unpause', { container }, { on, because: tasks.unpause }))
  if (tasks.stop !== undefined) {
    const drained = drains(unit, draft) ? [id('firewall.apply', projectAddress(draft.project))] : []
    const after = [...stops.before(unit), ...stops.gate(unit), ...drained]
    const facts = { on, because: tasks.stop, after }
    steps.push(step('container.stop', { container, ...stopManner(tasks, draft) }, facts))
  }
  if (tasks.remove !== undefined) {
    const facts = { on, because: tasks.remove, after: [containerId('stop', unit)] }
    const forGood = tasks.create === undefined || unit.wanted?.container !== container
    steps.push(step('container.remove', { container, forGood }, facts))
  }
  return steps
}

/** Of a replica that stood in while its service was updated. */
function departure(unit: Unit, { draft, gates }: Context): readonly Step[] {
  const { service, replica, wanted, surge } = unit
  if (wanted === null || surge === undefined) return []
  const { container } = wanted
  const facts = { on: replicaAddress(service, replica), because: surge }
  const stop = { container, ...draft.stop }
  const gone = { container, forGood: true }
  return [
    step('container.stop', stop, { ...facts, after: [gates.end.get(service) ?? []].flat() }),
    step('container.remove', gone, { ...facts, after: [containerId('stop', unit)] }),
  ]
}

/**
 * Whether new connections must go elsewhere before it stops: there is somebody else who takes them. Not
 * where a network is made anew, which waits for the stop itself, and takes every connection with it.
 */
function drains({ service, observed }: Unit, { firewall, networks, units }: Draft): boolean {
  const { apply } = firewall
  if (apply === null || networks.some(({ remove }) => remove !== null)) return false
  const targets = [...apply.published, ...apply.services.flatMap((address) => address.targets)]
  const behind = new Set(targets.map(({ container }) => container))
  if (observed === null || behind.has(observed.name)) return false
  return units.some((unit) => unit.service === service && behind.has(unit.wanted?.container ?? ''))
}

function stopManner(tasks: Tasks, { stop }: Draft): Omit<StepArgs['container.stop'], 'container'> {
  const again = tasks.start !== undefined && tasks.remove === undefined
  // What the file wants stopped is as stopped as what a user stopped: only a user starts it again.
  const byUser = stop.byUser || (tasks.stop?.kind === 'unhealthy' && !again)
  return { ...stop, byUser, ...(again ? { thenStart: true } : {}) }
}

function beginnings(unit: Unit, at: Context): readonly Step[] {
  const { tasks, wanted, observed, service, replica } = unit
  if (wanted === null) return []
  const on = replicaAddress(service, replica)
  const { container, spec, dependsOn, imageDigest } = wanted
  const project = projectAddress(at.draft.project)
  const steps: Step[] = []
  if (tasks.create !== undefined) {
    const args = { container, service, replica, spec, dependsOn, imageDigest }
    const after = [
      ...ground(wanted, at.draft),
      ...(unit.surge === undefined ? obstacles(unit, wanted, at.holders) : []),
      ...turn(unit, at),
    ]
    steps.push(step('container.create', args, { on, because: tasks.create, after }))
  }
  if (tasks.update !== undefined && observed !== null) {
    const args = { container, spec, dependsOn, fields: liveKeys(unit) }
    const after = [id('project.update', project)]
    steps.push(step('container.update', args, { on, because: tasks.update, after }))
  }
  if (tasks.repair !== undefined) {
    const after = [
      id('project.update', project),
      containerId('update', unit),
      ...ground(wanted, at.draft),
    ]
    steps.push(step('container.repair', { container }, { on, because: tasks.repair, after }))
  }
  if (tasks.start !== undefined) {
    const first = unit.surge === undefined ? (['stop'] as const) : []
    const own = [...first, 'create' as const, 'update' as const].map((t) => containerId(t, unit))
    const shared = [id('project.update', project), id('firewall.apply', project)]
    const ready = at.starts.get(service) ?? []
    const after = [
      ...own,
      ...shared,
      // Killed in between, pak finds who follows it stopped, never running on unawares.
      ...(tasks.start.kind === 'exited' ? at.stops.before(unit) : []),
      ...ground(wanted, at.draft),
      ...turn(unit, at),
      ...ready,
      ...rivals(wanted, at.holders),
    ]
    const hooks = spec.postStart?.length ?? 0
    const args = { container, ...(hooks === 0 ? {} : { hooks }), ...backOff(unit, at.draft) }
    steps.push(step('container.start', args, { on, because: tasks.start, after }))
  }
  return steps
}

/** What is left of it: its start begins before that is over. */
function backOff({ observed, tasks }: Unit, { lookedAt }: Draft): { readonly notBefore?: string } {
  const status = observed?.status
  if (lookedAt === undefined || status?.state !== 'stopped' || status.restartAt === null) return {}
  const waits = isAhead(Date.parse(status.restartAt), Date.parse(lookedAt))
  return waits && tasks.start?.kind === 'exited' ? { notBefore: status.restartAt } : {}
}

/** Who stands in does so only when it is its service's turn. */
const turn = (unit: Unit, { gates }: Context): readonly string[] =>
  unit.surge === undefined ? [] : [gates.begin.get(placeOf(unit)) ?? []].flat()

/** What a container stands on. */
function ground({ spec }: Wanted, draft: Draft): readonly string[] {
  return [
    id('project.create', projectAddress(draft.project)),
    ...spec.networks.map(({ network }) => id('network.create', networkAddress(network))),
    ...volumeNames(spec).map((volume) => id('volume.create', volumeAddress(volume))),
  ]
}

function liveKeys({ wanted, observed }: Unit): readonly string[] {
  if (wanted === null || observed === null) return []
  const live = diffContainer(wanted, observed).filter(({ on }) => on === 'live')
  return [...new Set(live.map(({ key }) => key))].sort(compareText)
}
