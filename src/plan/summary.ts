import type { Op, PlanSummary, Step } from '../model/plan.ts'
import { groupBy } from './unit.ts'

/** What happens to one address, all its steps together. */
export type Outcome =
  | 'create'
  | 'update'
  | 'recreate'
  | 'surge'
  | 'remove'
  | 'restart'
  | 'start'
  | 'stop'
  | 'wait'

/**
 * Containers, networks and volumes, each counted once: what is made anew is one `recreate`. The
 * project's own record and firewall count only where they are what changes.
 */
export function summarize(steps: readonly Step[]): PlanSummary {
  const count = { create: 0, update: 0, recreate: 0, remove: 0, start: 0, stop: 0 }
  for (const [on, group] of byAddress(steps)) {
    const outcome = outcomeOf(group)
    if (outcome === 'wait') continue
    if (on.startsWith('project/') && !isRepair(group)) continue
    if (outcome === 'restart') {
      count.stop++
      count.start++
    } else if (outcome === 'surge') {
      count.create++
      count.remove++
    } else count[outcome]++
  }
  return count
}

/** Steps of each address, in the order in which the addresses first appear. */
export const byAddress = (steps: readonly Step[]): ReadonlyMap<string, readonly Step[]> =>
  groupBy(steps, ({ on }) => on)

export function outcomeOf(group: readonly Step[]): Outcome {
  const verbs = new Set(group.map(({ op }) => VERBS[op]))
  const mends = group.some(({ op, because }) => op === 'network.create' && because.kind === 'drift')
  // Who takes connections changes between the batches of an update.
  if (verbs.has('wait')) return 'wait'
  if (verbs.has('create') && group.some(({ because }) => because.kind === 'surge')) return 'surge'
  if (verbs.has('remove')) return verbs.has('create') ? 'recreate' : 'remove'
  if (verbs.has('create')) return mends ? 'update' : 'create'
  if (verbs.has('stop')) return verbs.has('start') ? 'restart' : 'stop'
  if (verbs.has('start')) return 'start'
  return verbs.has('update') ? 'update' : 'wait'
}

const VERBS: Readonly<Record<Op, Exclude<Outcome, 'recreate' | 'restart' | 'surge'>>> = {
  'project.create': 'create',
  'project.update': 'update',
  'project.remove': 'remove',
  'network.create': 'create',
  'network.remove': 'remove',
  'volume.create': 'create',
  'volume.remove': 'remove',
  'container.create': 'create',
  'container.start': 'start',
  'container.stop': 'stop',
  'container.remove': 'remove',
  'container.update': 'update',
  'container.repair': 'update',
  'container.connect': 'update',
  'container.disconnect': 'update',
  'container.kill': 'stop',
  'container.pause': 'update',
  'container.unpause': 'update',
  'firewall.apply': 'update',
  'firewall.admit': 'update',
  'service.wait': 'wait',
}

const isRepair = (group: readonly Step[]): boolean =>
  group.some(({ op, because }) => op === 'project.update' || because.kind === 'drift')
