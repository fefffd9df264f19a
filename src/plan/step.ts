import type { Address } from '../model/address.ts'
import type { Op, Reason, StepArgs, StepOf } from '../model/plan.ts'

/** What a step is, apart from its op and its arguments. */
export interface StepFacts {
  readonly on: Address
  readonly because: Reason
  /** Ids of what must come first where it is in the plan at all; in any order, repeated or not. */
  readonly after?: readonly string[]
  readonly destroys?: boolean
}

export function step<O extends Op>(op: O, args: StepArgs[O], facts: StepFacts): StepOf<O> {
  const { on, because, after = [], destroys = false } = facts
  return { id: id(op, on), op, on, because, needs: after, destroys, args }
}

export function id<O extends Op>(op: O, on: Address): `${O}:${Address}` {
  return `${op}:${on}`
}
