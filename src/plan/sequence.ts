import { networkAddress, projectAddress, volumeAddress } from '../model/address.ts'
import type { Op, Plan, Step } from '../model/plan.ts'
import { lastOf } from './batches.ts'
import { canonical } from './canonical.ts'
import { containerSteps } from './containers.ts'
import type { Draft, VolumeWork } from './draft.ts'
import { topological } from './graph.ts'
import { makesWay, takesOver } from './networks.ts'
import { id, step } from './step.ts'
import { summarize } from './summary.ts'
import { compareText, containerId, type Unit } from './unit.ts'

/**
 * Put what was decided in order. Each builder names what a step would need; what is not in this plan
 * is already true, and is dropped. Stops never need starts, so that old and new dependencies cannot
 * make a cycle between them.
 */
export function sequence(draft: Draft): Plan {
  const steps = [...networkSteps(draft), ...volumeSteps(draft), ...containerSteps(draft)]
  const ordered = inOrder([...projectSteps(draft, steps), ...steps])
  return {
    project: draft.project,
    steps: canonical(ordered),
    summary: summarize(ordered),
    warnings: [...draft.warnings].sort(compareText),
  }
}

function projectSteps(draft: Draft, others: readonly Step[]): readonly Step[] {
  const { project, record, firewall, networks, units } = draft
  const steps: Step[] = []
  const on = projectAddress(project)
  if (firewall.apply !== null) {
    const { because, ...args } = firewall.apply
    const made = networks.map(({ name }) => id('network.create', networkAddress(name)))
    const after = [id('project.create', on), ...made]
    steps.push(step('firewall.apply', args, { on, because, after }))
  }
  if (firewall.admit !== null) {
    const { because, ...args } = firewall.admit
    const starts = units.map((unit) => containerId('start', unit))
    const after = [id('firewall.apply', on), ...starts, ...lastOf(draft)]
    steps.push(step('firewall.admit', args, { on, because, after }))
  }
  if (record === null) return steps
  const { because } = record
  if (record.verb === 'remove') {
    const after = [...others, ...steps].map((other) => other.id)
    steps.push(step('project.remove', { keepVolumes: record.keepVolumes }, { on, because, after }))
  } else {
    const args = { limits: record.limits }
    const facts = { on, because }
    if (record.verb === 'create') steps.push(step('project.create', args, facts))
    else steps.push(step('project.update', args, facts))
  }
  return steps
}

function networkSteps(draft: Draft): readonly Step[] {
  const project = projectAddress(draft.project)
  const gone = draft.networks.filter(({ remove }) => remove !== null)
  return draft.networks.flatMap((work) => {
    const on = networkAddress(work.name)
    const steps: Step[] = []
    if (work.remove !== null) {
      // A range that another network takes over must be free before the firewall knows the new one.
      const told = (draft.batches ?? []).length > 0 ? 'firewall.admit' : 'firewall.apply'
      const wait = makesWay(work, draft.networks) ? [] : [id(told, project)]
      const after = [...wait, ...departures(draft.units, work.name)]
      const args = { network: work.name }
      steps.push(step('network.remove', args, { on, because: work.remove, after }))
    }
    if (work.create !== null && work.wanted !== null) {
      const rivals = gone.filter((other) => takesOver(work, other))
      const removals = rivals.map(({ name }) => id('network.remove', networkAddress(name)))
      const after = [id('project.create', project), id('network.remove', on), ...removals]
      const args = { network: work.wanted }
      steps.push(step('network.create', args, { on, because: work.create, after }))
    }
    return steps
  })
}

/** Stops and removals of the containers that are on a network now. */
function departures(units: readonly Unit[], network: string): readonly string[] {
  return units
    .filter(({ observed }) =>
      [...(observed?.spec.networks ?? []), ...(observed?.connected ?? [])].some(
        (on) => on.network === network,
      ),
    )
    .flatMap((unit) => [containerId('stop', unit), containerId('remove', unit)])
}

function volumeSteps(draft: Draft): readonly Step[] {
  return draft.volumes.map((work) => {
    const { because, volume } = work
    const on = volumeAddress(volume.name)
    if (work.verb === 'create') {
      const after = [id('project.create', projectAddress(draft.project))]
      return step('volume.create', { volume }, { on, because, after })
    }
    const after = removalsOfUsers(work, draft.units)
    return step('volume.remove', { volume: volume.name }, { on, because, after, destroys: true })
  })
}

function removalsOfUsers({ volume }: VolumeWork, units: readonly Unit[]): readonly string[] {
  return units
    .filter(({ observed }) =>
      observed?.spec.mounts.some((m) => m.kind === 'volume' && m.volume === volume.name),
    )
    .map((unit) => containerId('remove', unit))
}

/** What tears down comes early, what runs comes late, and equals by address with replicas by number. */
function inOrder(steps: readonly Step[]): readonly Step[] {
  const known = new Map<string, Step>(steps.map((each) => [each.id, each] as const))
  const needs = (name: string) => (known.get(name)?.needs ?? []).filter((need) => known.has(need))
  const names = [...steps].sort(byOpAndAddress).map((each) => each.id)
  return topological(names, needs).flatMap((name) => {
    const found = known.get(name)
    return found === undefined
      ? []
      : [{ ...found, needs: [...new Set(needs(name))].sort(compareText) }]
  })
}

function byOpAndAddress(a: Step, b: Step): number {
  return (
    OP_ORDER.indexOf(a.op) - OP_ORDER.indexOf(b.op) ||
    compareText(numbersPadded(a.on), numbersPadded(b.on)) ||
    compareText(a.id, b.id)
  )
}

const numbersPadded = (text: string): string =>
  text.replace(/\d+$/, (digits) => digits.padStart(10, '0'))

const OP_ORDER: readonly Op[] = [
  'project.create',
  'project.update',
  'container.kill',
  'container.pause',
  'container.unpause',
  'container.stop',
  'container.remove',
  'network.remove',
  'network.create',
  'volume.remove',
  'volume.create',
  'container.create',
  'container.update',
  'container.repair',
  'firewall.apply',
  'container.connect',
  'container.disconnect',
  'service.wait',
  'container.start',
  'firewall.admit',
  'project.remove',
]
