import type { ApplyResult } from '../executor/apply.ts'
import type { Address } from '../model/address.ts'
import { isAhead, LONGEST_BACK_OFF_MS } from '../model/clock.ts'
import type { Plan } from '../model/plan.ts'

const FIRST_DELAY_MS = 500

interface Failures {
  readonly count: number
  /** Milliseconds since the epoch. */
  readonly notBefore: number
}

/**
 * Starts that did not come about in the loop's plans. Each is tried again by itself, later and later, so
 * that it holds up nobody else's. Only in memory; a user's command wipes it.
 */
export class FailedStarts {
  readonly #known = new Map<string, ReadonlyMap<Address, Failures>>()

  /** What the loop is not to start yet. */
  hold(project: string, now: Date): ReadonlySet<Address> {
    const failures = [...(this.#known.get(project) ?? [])]
    return new Set(
      failures.flatMap(([on, { notBefore }]) => (isAhead(notBefore, now.getTime()) ? on : [])),
    )
  }

  /** When the next of them is due. */
  dueAt(project: string, now: Date): Date | null {
    const times = [...(this.#known.get(project)?.values() ?? [])]
      .map(({ notBefore }) => notBefore)
      .filter((time) => isAhead(time, now.getTime()))
    return times.length === 0 ? null : new Date(Math.min(...times))
  }

  /** Take in what came of a plan; false: something failed that is not for this to try again. */
  count({ project, steps }: Plan, result: ApplyResult, now: Date): boolean {
    const ops = new Map<string, string>(steps.map(({ id, op }) => [id, op]))
    const others = result.failed.filter(({ id }) => !RETRIED.has(ops.get(id) ?? ''))
    if (others.length > 0) return false
    const known = new Map(this.#known.get(project))
    const done = new Set(result.done)
    for (const { id, op, on } of steps) {
      if (op !== 'container.start') continue
      const count = (known.get(on)?.count ?? 0) + 1
      const delayMs = Math.min(FIRST_DELAY_MS * 2 ** (count - 1), LONGEST_BACK_OFF_MS)
      if (done.has(id)) known.delete(on)
      else known.set(on, { count, notBefore: now.getTime() + delayMs })
    }
    if (known.size === 0) this.#known.delete(project)
    else this.#known.set(project, known)
    return true
  }

  forget(project: string): void {
    this.#known.delete(project)
  }
}

/** A wait that fails is tried again with the start that it was for. */
const RETRIED: ReadonlySet<string> = new Set(['container.start', 'service.wait'])
