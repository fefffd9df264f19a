import type { EndedRun } from '../executor/linux/settle.ts'
import { decideRestart } from './restart.ts'

/**
 * The back-off of each container that the policy keeps starting. Only in memory: an agent that begins
 * anew begins with short delays, which are soon long again.
 */
export class RestartMemory {
  readonly #delays = new Map<string, number>()

  /** RFC 3339 of the next start; `null`: it stays stopped. */
  verdict(project: string, run: EndedRun): string | null {
    const key = `${project}/${run.container}`
    const lastDelayMs = this.#delays.get(key) ?? null
    const decision = decideRestart({ ...run, lastDelayMs })
    if (decision === null) this.#delays.delete(key)
    else this.#delays.set(key, decision.delayMs)
    return decision?.restartAt ?? null
  }

  /** A user took over: the next failure is the first one. */
  forget(project: string): void {
    for (const key of this.#delays.keys())
      if (key.startsWith(`${project}/`)) this.#delays.delete(key)
  }
}
