import { LONGEST_BACK_OFF_MS } from '../model/clock.ts'
import type { RestartPolicy } from '../model/desired.ts'
import { wantsRestart } from '../model/restart-policy.ts'

const FIRST_DELAY_MS = 100
/** A run that lasted this long was a success: the back-off starts over. */
const GOOD_RUN_MS = 10_000

/** How a container's run ended by itself. A run that a user stopped never gets here. */
export interface EndedRunFacts {
  readonly policy: RestartPolicy
  readonly exitCode: number
  readonly startedAt: string
  readonly finishedAt: string
  /** How often the policy has started it again so far. */
  readonly restartCount: number
  /** The delay that came before this run; `null` when it was not the policy that started it. */
  readonly lastDelayMs: number | null
}

export interface RestartDecision {
  readonly delayMs: number
  /** RFC 3339. */
  readonly restartAt: string
}

/**
 * Docker's rules (docs.docker.com "Start containers automatically"): 100 ms, doubled up to a minute,
 * over again after a run of 10 s; `on-failure:n` gives up after n restarts. `null`: it stays stopped.
 */
export function decideRestart(ended: EndedRunFacts): RestartDecision | null {
  if (!wantsRestart(ended.policy, ended)) return null
  const finished = Date.parse(ended.finishedAt)
  // A clock that was set back makes a run look negative: that is no long run.
  const ranMs = finished - Date.parse(ended.startedAt)
  const last = ranMs >= GOOD_RUN_MS ? null : ended.lastDelayMs
  const delayMs = last === null ? FIRST_DELAY_MS : Math.min(last * 2, LONGEST_BACK_OFF_MS)
  return { delayMs, restartAt: new Date(finished + delayMs).toISOString() }
}
