import type { DesiredState } from '../model/desired.ts'
import type { Plan } from '../model/plan.ts'
import { summarize } from './summary.ts'

/** A plan without the start of one service: whoever asked for it starts it with a terminal of its own. */
export function withoutStart(plan: Plan, service: string): Plan {
  const steps = plan.steps.filter(
    ({ op, on }) => op !== 'container.start' || !on.startsWith(`service/${service}/`),
  )
  return { ...plan, steps, summary: summarize(steps) }
}

/** The file's own part of what should be: without what is asked for once. */
export function withoutService(desired: DesiredState, name: string): DesiredState {
  return { ...desired, services: desired.services.filter((service) => service.name !== name) }
}
