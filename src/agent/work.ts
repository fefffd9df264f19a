import { randomUUID } from 'node:crypto'
import { type Convergence, converge } from '../converge.ts'
import { PakError } from '../errors.ts'
import type { ApplyResult } from '../executor/apply.ts'
import type { EndedRun } from '../executor/linux/settle.ts'
import { replicaAddress } from '../model/address.ts'
import type { DesiredState } from '../model/desired.ts'
import type { ApplyEvent, ErrorFacts, PakEvent } from '../model/events.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Plan, Step } from '../model/plan.ts'
import type { Contest } from './contest.ts'
import type { EventLog } from './events.ts'
import type { FailedStarts } from './failed-starts.ts'
import { beginJournal, type JournalRun, type Verb } from './journal.ts'
import type { KeptStore } from './kept-store.ts'
import type { AgentParts } from './parts.ts'
import { PlanRecord } from './plan-record.ts'
import type { Prober } from './prober.ts'
import type { Reports } from './reports.ts'
import type { RestartMemory } from './restarts.ts'
import type { OperationLine } from './wire.ts'

/** At most this many things of one kind are under way at once: more only wait for the kernel. */
const CONCURRENCY = 8

/** What every piece of work on a project needs. */
export interface Workshop {
  readonly parts: AgentParts
  readonly kept: KeptStore
  readonly events: EventLog
  readonly prober: Prober
  readonly restarts: RestartMemory
  readonly contest: Contest
  readonly reports: Reports
  readonly starts: FailedStarts
  /** Project -> when the loop last looked at all of it, in milliseconds since the epoch. */
  readonly wholeLooks: Map<string, number>
  readonly now: () => Date
  /** For one plan: to be called at each event of its steps. See `failpoint`. */
  readonly failpoint: () => () => void
}

/** Who listens to an operation, and how it is told to end. */
export interface Caller {
  readonly signal: AbortSignal
  readonly report: (line: OperationLine) => void
}

export const NOBODY: Caller = { signal: new AbortController().signal, report: () => {} }

export interface Work {
  readonly project: string
  readonly verb: Verb
  readonly cause: string
  readonly scope?: Convergence['scope']
  readonly signal: AbortSignal
  /** Ends only what waits. */
  readonly hurry?: AbortSignal
  /** Called once; the machine is looked at until it answers. */
  readonly order: () => Promise<Order>
  readonly onPlan: (plan: Plan) => void
  readonly onEvent: (event: ApplyEvent) => void
}

/** What is wanted of a project. */
export interface Order {
  readonly desired: DesiredState | null
  readonly decide: (desired: DesiredState | null, observed: ObservedState) => Plan
  /** Before anything is touched, when nothing stands in the way. */
  readonly onAccepted: (plan: Plan) => Promise<void>
}

export interface Finished {
  readonly plan: Plan
  readonly result: ApplyResult
  /** As it was when the plan was made. */
  readonly observed: ObservedState
}

/**
 * One trip through `converge`, with what the agent adds: ends that nobody has written down yet, the
 * journal, the events and the health checks of what this starts.
 */
export async function perform(shop: Workshop, work: Work): Promise<Finished> {
  const { project, signal } = work
  await settleEnds(shop, project)
  let order: Order | null = null
  let seen: ObservedState | null = null
  let record: Recorder | null = null
  const mayDie = shop.failpoint()
  try {
    const { plan, result } = await converge(
      {
        project,
        executor: shop.parts.executor,
        load: async () => {
          order = await work.order()
          return order.desired
        },
        decide: (wanted, observed) => {
          seen = observed
          shop.prober.sync(observed)
          return known(order).decide(wanted, observed)
        },
        signal,
        ...(work.scope === undefined ? {} : { scope: work.scope }),
      },
      {
        concurrency: CONCURRENCY,
        ...(work.hurry === undefined ? {} : { hurry: work.hurry }),
        onPlan: async (plan, problems) => {
          work.onPlan(plan)
          if (problems.length > 0) return
          record =
            plan.steps.length > 0 ? new Recorder(shop, { ...work, ...known(order) }, plan) : null
          await known(order).onAccepted(plan)
        },
        onEvent: (event) => {
          mayDie()
          record?.event(event)
          work.onEvent(event)
        },
      },
    )
    endOf(record)?.end(result.failed.length === 0 && result.skipped.length === 0)
    if (plan.steps.length > 0 && hasChecks(known<Order>(order).desired, known(seen)))
      await refreshHealth(shop, project)
    return { plan, result, observed: known<ObservedState>(seen) }
  } catch (error) {
    endOf(record)?.end(false)
    throw error
  }
}

/** Assigned in a callback that converge has called by now, where the compiler does not see it. */
function known<T>(value: T | null): T {
  if (value === null) throw new Error('perform: converge did not ask for a plan')
  return value
}

const endOf = (record: Recorder | null): Recorder | null => record

function hasChecks(desired: DesiredState | null, observed: ObservedState | null): boolean {
  return (
    (desired?.services ?? []).some(({ container }) => container.healthcheck !== null) ||
    (observed?.containers ?? []).some(({ spec }) => spec.healthcheck !== null)
  )
}

/** Look again, so that what has just been started is checked. */
export async function refreshHealth(shop: Workshop, project: string): Promise<void> {
  shop.prober.sync(await shop.parts.executor.inspect({ project, only: 'containers' }))
}

async function settleEnds(shop: Workshop, project: string): Promise<void> {
  const restarts = new Map<string, string | null>()
  const ended = await shop.parts.settle(project, (run) => {
    const restartAt = shop.restarts.verdict(project, run)
    restarts.set(run.container, restartAt)
    return restartAt
  })
  const time = shop.now().toISOString()
  shop.events.add(
    ended.flatMap((run) => endEvents(run, { time, project }, restarts.get(run.container) ?? null)),
  )
}

function endEvents(
  run: EndedRun,
  at: Pick<PakEvent, 'time' | 'project'>,
  restartAt: string | null,
): readonly PakEvent[] {
  const { service, replica, exitCode, oomKilled, oom } = run
  const on = replicaAddress(service, replica)
  const ranMs = Math.max(0, Date.parse(run.finishedAt) - Date.parse(run.startedAt))
  const because = { kind: 'exited', exitCode, oomKilled, ranMs, restartAt } as const
  const exited = { ...at, type: 'container.exited', on, because }
  if (oom === null) return [exited]
  return [{ ...at, type: 'container.oom', on, because: { kind: 'oom', ...oom } }, exited]
}

/** Writes down what happens to the steps of one plan. */
class Recorder {
  readonly #shop: Workshop
  readonly #steps: ReadonlyMap<string, Step>
  readonly #project: string
  readonly #journal: JournalRun
  readonly #history: PlanRecord
  readonly #checks: boolean
  #refreshing: 'no' | 'running' | 'again' = 'no'

  constructor(shop: Workshop, { project, verb, cause, desired }: Work & Order, plan: Plan) {
    this.#shop = shop
    this.#project = project
    this.#steps = new Map(plan.steps.map((step) => [step.id, step]))
    this.#checks = hasChecks(desired, null)
    this.#journal = beginJournal(shop.kept.folder(project), {
      time: shop.now().toISOString(),
      verb,
      cause,
      steps: plan.steps.length,
    })
    const now = () => shop.now()
    this.#history = new PlanRecord(shop.events, { plan, verb, cause, now, id: randomUUID() })
  }

  event(event: ApplyEvent): void {
    if (event.type === 'started') return
    const step = this.#steps.get(event.id)
    if (step !== undefined && 'error' in event) this.#hookFailed(step, event.error)
    if (event.type === 'warned') return
    this.#journal.step(event.id, event.type)
    this.#history.step(event)
    if (event.type !== 'done' || step === undefined) return
    this.#shop.events.add([this.#pakEvent(step)])
    // A later step may wait for this container to be healthy: its checks must run by then.
    if (step.op === 'container.start' && this.#checks) this.#refresh()
  }

  /** A hook is the user's own: what it says must be found later, too. */
  #hookFailed({ on }: Step, { code, message }: ErrorFacts): void {
    if (code !== 'hook') return
    const time = this.#shop.now().toISOString()
    const because = { kind: 'failed', message } as const
    this.#shop.events.add([{ time, project: this.#project, type: 'hook.failed', on, because }])
  }

  end(ok: boolean): void {
    this.#journal.end(this.#shop.now().toISOString(), ok)
    this.#history.end(ok)
  }

  #pakEvent(step: Step): PakEvent {
    const time = this.#shop.now().toISOString()
    return { time, project: this.#project, type: past(step.op), on: step.on, because: step.because }
  }

  #refresh(): void {
    if (this.#refreshing !== 'no') {
      this.#refreshing = 'again'
      return
    }
    this.#refreshing = 'running'
    const finish = () => {
      const again = this.#refreshing === 'again'
      this.#refreshing = 'no'
      if (again) this.#refresh()
    }
    // What cannot be inspected now is inspected at the end of the plan, where it is an error.
    refreshHealth(this.#shop, this.#project).then(finish, finish)
  }
}

const PAST: Readonly<Record<string, string>> = {
  stop: 'stopped',
  apply: 'applied',
  admit: 'admitted',
  wait: 'waited',
}

/** `container.start` has become `container.started`. */
function past(op: Step['op']): string {
  const [noun, verb = ''] = op.split('.')
  return `${noun}.${PAST[verb] ?? (verb.endsWith('e') ? `${verb}d` : `${verb}ed`)}`
}

/** The plan that a user has seen is not the plan now. */
export function requireSamePlan(expected: Plan | null, plan: Plan): void {
  if (expected === null || JSON.stringify(expected) === JSON.stringify(plan)) return
  throw new PakError('plan_stale', `up \`${plan.project}\`: the machine has moved since the plan`, {
    hint: 'look at a new plan with pak plan',
  })
}

export function workOf(
  project: string,
  verb: Work['verb'],
  { signal, report }: Caller,
): Pick<Work, 'project' | 'verb' | 'cause' | 'signal' | 'onPlan' | 'onEvent'> {
  const onPlan = (planned: Plan) => report({ type: 'plan', plan: planned })
  return { project, verb, cause: verb, signal, onPlan, onEvent: report }
}
