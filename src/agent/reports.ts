import type { Address } from '../model/address.ts'
import type { PakEvent } from '../model/events.ts'
import type { Reported } from '../plan/tolerance.ts'

/** Remembers what was reported, so that a fact is told once, not with every look. Only in memory. */
export class Reports {
  readonly #told = new Map<string, ReadonlyMap<Address, string>>()

  /** Events for what is new; what is not found any more may be told again later. */
  news(project: string, found: readonly Reported[], now: Date): readonly PakEvent[] {
    const before = this.#told.get(project)
    const facts = new Map(found.map(({ on, because }) => [on, because.fact]))
    if (facts.size === 0) this.#told.delete(project)
    else this.#told.set(project, facts)
    const time = now.toISOString()
    return found
      .filter(({ on, because }) => before?.get(on) !== because.fact)
      .map(({ on, because }) => ({ time, project, type: 'drift.found', on, because }))
  }

  forget(project: string): void {
    this.#told.delete(project)
  }
}
