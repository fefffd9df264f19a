import type { Address } from './address.ts'
import type { Reason } from './plan.ts'

/** One line of `pak events`. */
export interface PakEvent {
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string
  readonly project: string
  /** `noun.verb` in the past tense: `container.started`, `container.exited`, `network.created`. */
  readonly type: string
  readonly on: Address
  readonly because: Reason | null
  /** Of `plan.began` and `plan.ended`. */
  readonly plan?: PlanBegan | PlanEnded
}

/** Who wanted a plan: a user, or what made the agent's loop look. */
export type PlanCause = 'user' | 'drift' | 'restart policy' | 'health' | 'dependency' | 'loop'

export interface PlanBegan {
  /** The same in the `plan.ended` that belongs to it; none follows when the agent was killed. */
  readonly id: string
  readonly by: PlanCause
  /** What the user asked for (`up`, `stop`), or what the loop was told. */
  readonly cause: string
  readonly steps: number
  /** `<op>:<address>`; the first of them. */
  readonly changes: readonly string[]
}

export interface PlanEnded {
  readonly id: string
  readonly ok: boolean
  readonly durationMs: number
  readonly done: number
  readonly skipped: number
  readonly failed: readonly { readonly step: string; readonly message: string }[]
}

/** What apply reports while it walks a plan. */
export type ApplyEvent =
  | { readonly type: 'started'; readonly id: string }
  | { readonly type: 'done'; readonly id: string; readonly durationMs: number }
  | { readonly type: 'failed'; readonly id: string; readonly error: ErrorFacts }
  /** Something went wrong that does not stop the step. */
  | { readonly type: 'warned'; readonly id: string; readonly error: ErrorFacts }
  | { readonly type: 'skipped'; readonly id: string; readonly because: string }

/** A PakError as data, for the wire. */
export interface ErrorFacts {
  readonly code: string
  readonly message: string
  readonly hint: string | null
}
