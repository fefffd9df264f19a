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
