import { networkAddress, projectAddress, replicaAddress, volumeAddress } from '../model/address.ts'
import type { Step, StepArgs } from '../model/plan.ts'
import { batchSteps, gates, placeOf, ranksOf } from './batches.ts'
import { diffContainer } from './diff.ts'
import type { Draft } from './draft.ts'
import { type Holders, holdersOf, obstacles, rivals, volumeNames } from './holders.ts'
import { startingNeeds, stoppingNeeds, waitSteps } from './readiness.ts'
import { id, step } from './step.ts'
import { compareText, containerId, type Tasks, type Unit, type Wanted } from './unit.ts'

/** The steps of all containers, and the waits among them. */
export function containerSteps(draft: Draft): readonly Step[] {
  const at: Context = {
    draft,
    stops: stoppingNeeds(draft.units, ranksOf(draft.batches ?? [])),
    gates: gates(draft),
    starts: startingNeeds(draft),
    holders: holdersOf(draft.units),
  }
  const steps = draft.units.flatMap((unit) => [...endings(unit, at), ...beginnings(unit, at)])
  return [...steps, ...waitSteps(draft), ...batchSteps(draft)]
}

interface Context {
  readonly draft: Draft
  readonly stops: ReadonlyMap<string, readonly string[]>
  readonly starts: ReadonlyMap<string, readonly string[]>
  readonly gates: ReadonlyMap<string, string>
  readonly holders: Holders
}

function endings(unit: Unit, { draft, stops, gates }: Context): readonly Step[] {
  const { tasks, observed } = unit
  if (observed === null) return []
  const on = replicaAddress(unit.service, unit.replica)
  const container = observed.name
  const after = stops.get(unit.service) ?? []
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
    const gate = gates.get(placeOf(unit)) ?? []
    const facts = { on, because: tasks.stop, after: [...after, ...drained].concat(gate) }
    steps.push(step('container.stop', { container, ...stopManner(tasks, draft) }, facts))
  }
  if (tasks.remove !== undefined) {
    const facts = { on, because: tasks.remove, after: [containerId('stop', unit)] }
    const forGood = tasks.create === undefined || unit.wanted?.container !== container
    steps.push(step('container.remove', { container, forGood }, facts))
  }
  return steps
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
    const after = [...ground(wanted, at.draft), ...obstacles(unit, wanted, at.holders)]
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
    const own = (['stop', 'create', 'update'] as const).map((task) => containerId(task, unit))
    const shared = [id('project.update', project), id('firewall.apply', project)]
    const ready = at.starts.get(service) ?? []
    const after = [
      ...own,
      ...shared,
      // Killed in between, pak finds who follows it stopped, never running on unawares.
      ...(tasks.start.kind === 'exited' ? (at.stops.get(service) ?? []) : []),
      ...ground(wanted, at.draft),
      ...ready,
      ...rivals(wanted, at.holders),
    ]
    const hooks = spec.postStart?.length ?? 0
    const args = hooks === 0 ? { container } : { container, hooks }
    steps.push(step('container.start', args, { on, because: tasks.start, after }))
  }
  return steps
}

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
