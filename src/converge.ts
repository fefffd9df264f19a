import { PakError } from './errors.ts'
import { type ApplyResult, apply } from './executor/apply.ts'
import type { Executor, InspectScope } from './executor/executor.ts'
import type { DesiredState } from './model/desired.ts'
import type { ApplyEvent } from './model/events.ts'
import type { ObservedState } from './model/observed.ts'
import type { Plan } from './model/plan.ts'
import { imageReferences } from './plan/images.ts'

/** What differs between `up`, `down`, `restart`, a crash and a timer: where the file comes from, and what is decided. */
export interface Convergence {
  readonly project: string
  readonly executor: Executor
  /** The manifest, the state of the last `up`, or nothing (`null`) where only what exists counts. */
  readonly load: () => Promise<DesiredState | null>
  /** Pure: `plan`, `planDown` or `planAction`. */
  readonly decide: (desired: DesiredState | null, observed: ObservedState) => Plan
  /** How much of the machine is looked at; all of it without a word. */
  readonly scope?: Pick<InspectScope, 'drift'>
  readonly signal: AbortSignal
}

export interface Application {
  readonly concurrency: number
  /** See `RunContext`. */
  readonly hurry?: AbortSignal
  /**
   * Called once with the whole plan, before anything is touched; it will not be where there are
   * problems. Throw here to refuse it.
   */
  readonly onPlan: (plan: Plan, problems: readonly PakError[]) => void | Promise<void>
  readonly onEvent: (event: ApplyEvent) => void
}

export interface Survey {
  readonly desired: DesiredState | null
  readonly observed: ObservedState
  readonly plan: Plan
  /** What stands in the way on this host. */
  readonly problems: readonly PakError[]
}

/**
 * Make the host look like the file: load -> desired -> inspect -> plan -> apply. Everything that pak
 * does to a host, for whatever cause, comes through here. Nothing is touched while a problem is known.
 */
export async function converge(
  convergence: Convergence,
  application: Application,
): Promise<{ readonly plan: Plan; readonly result: ApplyResult }> {
  const { plan, problems } = await survey(convergence)
  await application.onPlan(plan, problems)
  if (problems.length > 0) throw obstacle(problems)
  const { executor, signal } = convergence
  const { onPlan: _, ...how } = application
  return { plan, result: await apply(plan, executor, { ...how, signal }) }
}

/** The same without the last arrow: what would be done, why, and what stands in the way. */
export async function survey({
  project,
  executor,
  load,
  decide,
  scope = {},
  signal,
}: Convergence): Promise<Survey> {
  // The file is read while the machine is looked at: neither waits for the other.
  const loading = load()
  const images = async () => imageReferences(await loading)
  const [desired, observed] = await Promise.all([
    loading,
    executor.inspect({ ...scope, project, images }, signal),
  ])
  const decided = decide(desired, observed)
  const request = { desired, observed, steps: decided.steps }
  const [problems, cautions] = await Promise.all([
    executor.preflight(request, signal),
    // What a user may want to know, and nobody reads of a look at states alone.
    scope.drift === false ? [] : executor.cautions(request),
  ])
  const plan = { ...decided, warnings: [...decided.warnings, ...cautions] }
  return { desired, observed, plan, problems }
}

function obstacle(problems: readonly PakError[]): PakError {
  const [first, ...others] = problems
  if (first === undefined) throw new Error('obstacle: there is none')
  if (others.length === 0) return first
  const lines = problems.map(({ message, hint }) =>
    hint === null ? message : `${message} (${hint})`,
  )
  return new PakError(first.code, `${problems.length} problems:\n  ${lines.join('\n  ')}`)
}
