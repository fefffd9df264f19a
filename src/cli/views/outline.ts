import type { Plan, Reason, Step } from '../../model/plan.ts'
import { reasonText } from '../../plan/reason.ts'
import { byAddress, outcomeOf } from '../../plan/summary.ts'

/** What a reader calls one thing: the steps that do it, under one verb. */
export interface OutlineUnit {
  /** `recreate service/web/1`. */
  readonly title: string
  /** Why, in words. */
  readonly because: string
  readonly stepIds: readonly string[]
}

/** The plan as a reader thinks of it: one unit for each thing and not for each step, in the plan's order. */
export function outline(plan: Plan): readonly OutlineUnit[] {
  return [...byAddress(plan.steps)].map(([on, steps]) => ({
    title: `${verb(steps)} ${on}`,
    because: reasonText(mainReason(steps)),
    stepIds: steps.map(({ id }) => id),
  }))
}

function verb(steps: readonly Step[]): string {
  if (steps.every(({ op }) => op.startsWith('firewall.'))) return 'firewall of'
  if (steps.some(({ op }) => op === 'container.kill')) return 'kill'
  if (steps.some(({ op }) => op === 'container.pause')) return 'pause'
  if (steps.some(({ op }) => op === 'container.unpause')) return 'unpause'
  const outcome = outcomeOf(steps)
  return outcome === 'wait' ? 'wait for' : outcome
}

/** A changed field says most; that a step follows another says least. */
function mainReason(steps: readonly Step[]): Reason {
  const reasons = steps.map(({ because }) => because)
  return (
    reasons.find(({ kind }) => kind === 'changed' || kind === 'drift') ??
    reasons.find(({ kind }) => kind !== 'dependency') ??
    reasons[0] ?? { kind: 'missing' }
  )
}
