import { projectAddress } from '../model/address.ts'
import type { ApplyEvent, PlanBegan, PlanCause, PlanEnded } from '../model/events.ts'
import type { Plan, Reason } from '../model/plan.ts'
import type { EventLog } from './events.ts'
import type { Verb } from './journal.ts'

const MOST_CHANGES = 40
const MOST_FAILURES = 10

export interface RecordedPlan {
  readonly plan: Plan
  readonly verb: Verb
  readonly cause: string
  readonly id: string
  readonly now: () => Date
}

/** What `pak history` shows of one plan: an event when it begins, one when it ends. */
export class PlanRecord {
  readonly #events: EventLog
  readonly #recorded: RecordedPlan
  readonly #startedAt: Date
  readonly #failed: { readonly step: string; readonly message: string }[] = []
  #done = 0
  #skipped = 0

  constructor(events: EventLog, recorded: RecordedPlan) {
    this.#events = events
    this.#recorded = recorded
    this.#startedAt = recorded.now()
    const { plan, verb, cause, id } = recorded
    const changes = plan.steps.slice(0, MOST_CHANGES).map((step) => step.id)
    const by = verb === 'loop' ? causeOf(plan) : 'user'
    this.#add('plan.began', { id, by, cause, steps: plan.steps.length, changes })
  }

  step(event: ApplyEvent): void {
    if (event.type === 'done') this.#done += 1
    else if (event.type === 'skipped') this.#skipped += 1
    else if (event.type === 'failed' && this.#failed.length < MOST_FAILURES)
      this.#failed.push({ step: event.id, message: event.error.message })
  }

  end(ok: boolean): void {
    const durationMs = this.#recorded.now().getTime() - this.#startedAt.getTime()
    const { id } = this.#recorded
    this.#add('plan.ended', {
      id,
      ok,
      durationMs: Math.max(0, durationMs),
      done: this.#done,
      skipped: this.#skipped,
      failed: this.#failed,
    })
  }

  #add(type: 'plan.began' | 'plan.ended', plan: PlanBegan | PlanEnded): void {
    const { project } = this.#recorded.plan
    const time = this.#recorded.now().toISOString()
    this.#events.add([{ time, project, type, on: projectAddress(project), because: null, plan }])
  }
}

/** In this order: the first one that a step gives says what made the loop act. */
const CAUSES: readonly (readonly [Reason['kind'], PlanCause])[] = [
  ['exited', 'restart policy'],
  ['unhealthy', 'health'],
  ['drift', 'drift'],
  ['dependency', 'dependency'],
]

function causeOf({ steps }: Plan): PlanCause {
  const kinds = new Set(steps.map(({ because }) => because.kind))
  return CAUSES.find(([kind]) => kinds.has(kind))?.[1] ?? 'loop'
}
