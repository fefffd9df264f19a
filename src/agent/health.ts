import type { Healthcheck } from '../model/desired.ts'
import type { Health } from '../model/status.ts'
import { printableOutput } from '../model/text.ts'

const RESULTS_KEPT = 5
const OUTPUT_BYTES = 4096

/** What is known of the health of one run of a container. */
export interface HealthState {
  readonly status: Exclude<Health, null>
  readonly failingStreak: number
  /** The last five, oldest first. */
  readonly results: readonly CheckResult[]
}

export interface CheckResult {
  /** RFC 3339. */
  readonly startedAt: string
  readonly finishedAt: string
  /** -1: it did not end in time. */
  readonly exitCode: number
  /** At most 4096 bytes of UTF-8, without control characters but line ends and tabs. */
  readonly output: string
}

export const NEW_HEALTH: HealthState = { status: 'starting', failingStreak: 0, results: [] }

/**
 * The state after one more check. Compose's rules: 0 is healthy at once; failures within the start
 * period do not count while nothing has succeeded yet; `retries` failures in a row are unhealthy.
 */
export function afterCheck(
  state: HealthState,
  result: CheckResult,
  run: { readonly check: Healthcheck; readonly startedAt: string },
): HealthState {
  const kept = { ...result, output: bounded(printableOutput(result.output, OUTPUT_BYTES)) }
  const results = [...state.results, kept].slice(-RESULTS_KEPT)
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, results }
  const runningForMs = Date.parse(result.startedAt) - Date.parse(run.startedAt)
  if (isStarting(state, run.check, runningForMs)) return { ...state, results }
  const failingStreak = state.failingStreak + 1
  const status = failingStreak >= run.check.retries ? 'unhealthy' : state.status
  return { status, failingStreak, results }
}

/** How long to wait before the next check: shorter while the container is starting. */
export function nextCheckMs(state: HealthState, check: Healthcheck, runningForMs: number): number {
  return isStarting(state, check, runningForMs) ? check.startIntervalMs : check.intervalMs
}

/** A run that is younger than nothing began before the clock was set back. */
const isStarting = ({ status }: HealthState, check: Healthcheck, runningForMs: number): boolean =>
  status === 'starting' && runningForMs >= 0 && runningForMs < check.startPeriodMs

function bounded(output: string): string {
  if (Buffer.byteLength(output) <= OUTPUT_BYTES) return output
  // A character cut in two becomes U+FFFD, three bytes: leave room, then drop it.
  const cut = Buffer.from(output).subarray(0, OUTPUT_BYTES).toString('utf8')
  return cut.endsWith('\uFFFD') ? cut.slice(0, -1) : cut
}
