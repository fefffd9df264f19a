import type { Address } from '../model/address.ts'
import { isAhead } from '../model/clock.ts'
import type { PakEvent } from '../model/events.ts'
import type { Plan } from '../model/plan.ts'

/** So many repairs of one thing in so much time, and then none for as long: somebody else insists. */
const MOST_REPAIRS = 5
const WINDOW_MS = 60_000

/** Keeps pak from fighting another program over the same thing. Only in memory; a user's command wipes it. */
export class Contest {
  readonly #repairs = new Map<string, readonly number[]>()
  readonly #leftUntil = new Map<string, number>()

  /** What the loop is to leave as it is now, by address. */
  leave(project: string, now: Date): ReadonlySet<Address> {
    const left = new Set<Address>()
    for (const [key, until] of this.#leftUntil) {
      const [owner, on] = split(key)
      if (!isAhead(until, now.getTime(), WINDOW_MS)) this.#leftUntil.delete(key)
      else if (owner === project) left.add(on)
    }
    return left
  }

  /** When the first thing that is left alone is so no longer, in milliseconds since the epoch; `null`: none is. */
  dueAt(project: string): number | null {
    const times = [...this.#leftUntil].flatMap(([key, until]) =>
      split(key)[0] === project ? [until] : [],
    )
    return times.length === 0 ? null : Math.min(...times)
  }

  /** Count the repairs of a plan; returns an event for each thing that is left alone from now on. */
  count(plan: Plan, now: Date): readonly PakEvent[] {
    const events: PakEvent[] = []
    const since = now.getTime() - WINDOW_MS
    const repaired = new Map(
      plan.steps.flatMap(({ on, because }) =>
        because.kind === 'drift' ? [[on, because] as const] : [],
      ),
    )
    for (const [on, because] of repaired) {
      const key = `${plan.project} ${on}`
      const times = [...(this.#repairs.get(key) ?? []), now.getTime()].filter(
        (at) => at > since && at <= now.getTime(),
      )
      this.#repairs.set(key, times)
      if (times.length < MOST_REPAIRS) continue
      this.#repairs.delete(key)
      this.#leftUntil.set(key, now.getTime() + WINDOW_MS)
      const time = now.toISOString()
      events.push({ time, project: plan.project, type: 'drift.left', on, because })
    }
    return events
  }

  forget(project: string): void {
    for (const map of [this.#repairs, this.#leftUntil])
      for (const key of map.keys()) if (split(key)[0] === project) map.delete(key)
  }
}

function split(key: string): readonly [string, Address] {
  const at = key.indexOf(' ')
  return [key.slice(0, at), key.slice(at + 1) as Address]
}
