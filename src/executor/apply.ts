import { errorFacts, knownError, PakError } from '../errors.ts'
import type { ApplyEvent } from '../model/events.ts'
import type { Op, Plan, Step, StepOf } from '../model/plan.ts'
import type { Executor, StepOutcome } from './executor.ts'

export interface ApplyOptions {
  /** Ends what is under way, and skips the rest. */
  readonly signal: AbortSignal
  /** How many things of one kind a handler may have under way at once. */
  readonly concurrency: number
  /** See `RunContext`. */
  readonly hurry?: AbortSignal
  readonly onEvent: (event: ApplyEvent) => void
  /** Milliseconds from any origin; for durations. */
  readonly clock?: () => number
}

/** Every step of the plan is in exactly one of these, by its id. */
export interface ApplyResult {
  readonly done: readonly string[]
  readonly failed: readonly { readonly id: string; readonly error: PakError }[]
  readonly skipped: readonly string[]
}

/**
 * Walk a plan: ready steps of one op go to the executor as one batch, different ops side by side. What
 * fails takes its dependants with it, and nothing else. Decides nothing. Resolves when nothing is under
 * way any more, also after an abort.
 */
export async function apply(
  plan: Plan,
  executor: Executor,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const walk = new Walk(plan.steps, options)
  const { signal, concurrency, hurry, onEvent, clock = () => performance.now() } = options
  const warn = (id: string, error: PakError) =>
    onEvent({ type: 'warned', id, error: errorFacts(error) })
  const shared = { project: plan.project, signal, concurrency, warn }
  const context = hurry === undefined ? shared : { ...shared, hurry }
  const running = new Set<Promise<void>>()
  for (;;) {
    if (signal.aborted) walk.skipWaiting()
    for (const batch of batches(walk.takeReady())) {
      const startedAt = clock()
      const run = perform(executor, batch, context).then((outcomes) => {
        running.delete(run)
        const durationMs = clock() - startedAt
        for (const [index, step] of batch.entries()) {
          walk.settle(step, { outcome: outcomes[index] ?? null, durationMs })
        }
      })
      running.add(run)
    }
    if (running.size === 0) return walk.result()
    await Promise.race(running)
  }
}

/** What may take long is a batch of its own: who waits for the fast one must not wait for the slow one, too. */
function batches(ready: readonly Step[]): readonly (readonly Step[])[] {
  const groups = new Map<string, Step[]>()
  for (const step of ready) {
    const key = takesItsTime(step) ? step.id : step.op
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [step])
    else group.push(step)
  }
  return [...groups.values()]
}

const takesItsTime = (step: Step): boolean =>
  step.op === 'service.wait' || (step.op === 'container.start' && step.args.hooks !== undefined)

/** One outcome per step whatever the executor does: an executor that rejects must not leave a plan hanging. */
async function perform(
  executor: Executor,
  batch: readonly Step[],
  context: Parameters<Executor['run']>[2],
): Promise<readonly StepOutcome[]> {
  const [first] = batch
  if (first === undefined) return []
  try {
    const outcomes = await executor.run(first.op, ofOp(batch, first.op), context)
    if (outcomes.length === batch.length) return outcomes
    const counts = `${outcomes.length} outcomes for ${batch.length} steps`
    return batch.map(({ id }) => new PakError('apply', `run, \`${id}\`: ${counts}`))
  } catch (cause) {
    const known = knownError(cause)
    if (known !== null) return batch.map(() => known)
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
    return batch.map(({ id }) => new PakError('apply', `run, \`${id}\`: ${reason}`, { cause }))
  }
}

const ofOp = <O extends Op>(steps: readonly Step[], op: O): readonly StepOf<O>[] =>
  steps.filter((step): step is Step & StepOf<O> => step.op === op)

/** Where each step of a plan stands. */
class Walk {
  readonly #options: ApplyOptions
  readonly #open = new Map<string, Set<string>>()
  readonly #dependants = new Map<string, Step[]>()
  #ready: Step[] = []
  readonly #waiting = new Map<string, Step>()
  readonly #done: string[] = []
  readonly #failed: { id: string; error: PakError }[] = []
  readonly #skipped: string[] = []

  constructor(steps: readonly Step[], options: ApplyOptions) {
    this.#options = options
    const known = new Set<string>(steps.map(({ id }) => id))
    for (const step of steps) {
      const needs = step.needs.filter((need) => known.has(need))
      this.#open.set(step.id, new Set(needs))
      for (const need of needs) {
        const list = this.#dependants.get(need)
        if (list === undefined) this.#dependants.set(need, [step])
        else list.push(step)
      }
      if (needs.length === 0) this.#ready.push(step)
      else this.#waiting.set(step.id, step)
    }
  }

  takeReady(): readonly Step[] {
    const ready = this.#ready
    this.#ready = []
    for (const { id } of ready) this.#options.onEvent({ type: 'started', id })
    return ready
  }

  settle(step: Step, { outcome, durationMs }: Settlement): void {
    const { id } = step
    if (outcome !== null) {
      this.#failed.push({ id, error: outcome })
      this.#options.onEvent({ type: 'failed', id, error: errorFacts(outcome) })
      this.#skipDependants(id)
      return
    }
    this.#done.push(id)
    this.#options.onEvent({ type: 'done', id, durationMs })
    for (const dependant of this.#dependants.get(id) ?? []) {
      const open = this.#open.get(dependant.id)
      open?.delete(id)
      if (open?.size === 0 && this.#waiting.delete(dependant.id)) this.#ready.push(dependant)
    }
  }

  /** After an abort: what has not started never will. */
  skipWaiting(): void {
    const left = [...this.#ready, ...this.#waiting.values()]
    this.#ready = []
    this.#waiting.clear()
    for (const { id } of left) this.#skip(id, 'cancelled')
  }

  /** A plan whose needs make a circle has steps that never got ready: they are skipped, not forgotten. */
  result(): ApplyResult {
    for (const id of this.#waiting.keys()) this.#skip(id, 'it needs itself')
    this.#waiting.clear()
    return { done: this.#done, failed: this.#failed, skipped: this.#skipped }
  }

  #skipDependants(failed: string): void {
    const open = [failed]
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      for (const dependant of this.#dependants.get(id) ?? []) {
        if (!this.#waiting.delete(dependant.id)) continue
        this.#skip(dependant.id, failed)
        open.push(dependant.id)
      }
    }
  }

  #skip(id: string, because: string): void {
    this.#skipped.push(id)
    this.#options.onEvent({ type: 'skipped', id, because })
  }
}

interface Settlement {
  readonly outcome: StepOutcome
  readonly durationMs: number
}
