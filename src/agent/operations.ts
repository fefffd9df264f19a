import { survey } from '../converge.ts'
import { errorFacts, errorFromFacts, PakError } from '../errors.ts'
import type { ApplyResult } from '../executor/apply.ts'
import { isAhead } from '../model/clock.ts'
import type { DesiredState } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Plan } from '../model/plan.ts'
import { planAction } from '../plan/action.ts'
import { planDown } from '../plan/down.ts'
import { withoutService, withoutStart } from '../plan/one-off.ts'
import { plan } from '../plan/plan.ts'
import { scopeOf } from '../plan/scope.ts'
import { unfinished } from './journal.ts'
import { keptAfterRemove, keptAfterUp } from './kept.ts'
import type { PassOutcome, Why } from './loop.ts'
import { LOOK_EVERY_MS, nextLook, turn, wholeLookAt } from './turn.ts'
import { begun, type Conclusion, standing, type Updates } from './updates.ts'
import { concludeUpdates, readWanted, withFate } from './updating.ts'
import type {
  ActionRequest,
  DownOptions,
  DownRequest,
  PlanAnswer,
  PlanRequest,
  ResultLine,
  UpOptions,
  UpRequest,
} from './wire.ts'
import {
  type Caller,
  NOBODY,
  type Order,
  perform,
  requireSamePlan,
  type Workshop,
  workOf,
} from './work.ts'

const DOWN: DownOptions = {
  removeVolumes: false,
  removeOrphans: true,
  graceMs: null,
  detached: true,
}

/** What would be done, and what stands in the way. Changes nothing. */
export async function planUp(
  shop: Workshop,
  project: string,
  { desired, options }: PlanRequest,
): Promise<PlanAnswer> {
  const elsewhere = await otherOrigin(shop, project, options.origin)
  const surveyed = await survey({
    project,
    executor: shop.parts.executor,
    load: async () => desired,
    decide: decideUp(shop, options, {
      warnings: elsewhere,
      updates: await shop.kept.readUpdates(project),
    }),
    signal: NOBODY.signal,
  })
  return { plan: surveyed.plan, problems: surveyed.problems.map(errorFacts) }
}

export async function up(
  shop: Workshop,
  project: string,
  request: Promise<UpRequest>,
  caller: Caller,
): Promise<ResultLine> {
  beginAnew(shop, project)
  const { result } = await perform(shop, {
    ...workOf(project, 'up', caller),
    order: async () => orderUp(shop, project, await request),
  })
  const { desired, options } = await request
  const scope = options.services === null ? null : scopeOf(desired, options).services
  const conclusion = await concludeUpdates(shop, project, { result, scope })
  return toTheEnd(shop, project, { result, conclusion, signal: caller.signal })
}

/** The result of a plan, once what the failure of an update brings about is done: it goes back, who stood in leaves. */
export async function toTheEnd(
  shop: Workshop,
  project: string,
  {
    result,
    conclusion,
    signal,
  }: {
    readonly result: ApplyResult
    readonly conclusion: Conclusion | null
    readonly signal: AbortSignal
  },
): Promise<ResultLine> {
  const line = withFate(resultLine(result, signal), conclusion)
  const failed = [...line.failed]
  let last = conclusion
  // One service more has failed each time, and none more than twice.
  while (last !== null && last.back.length + last.paused.length > 0) {
    const next = await turn(shop, project, { cause: 'rollback', hurry: NOBODY.signal })
    failed.push(...withFate(resultLine(next.result, signal), next.conclusion).failed)
    last = next.conclusion
  }
  return { ...line, failed }
}

async function orderUp(
  shop: Workshop,
  project: string,
  { desired, options, expectedPlan, keepData, oneOff = null }: UpRequest,
): Promise<Order> {
  const updates = await shop.kept.readUpdates(project)
  const warnings = await otherOrigin(shop, project, options.origin)
  const decide = decideUp(shop, options, { warnings, updates })
  let seen: ObservedState | null = null
  return {
    desired,
    decide: (wanted, observed) => {
      seen = observed
      const whole = decide(wanted, observed)
      const planned = oneOff === null ? whole : withoutStart(whole, oneOff)
      requireSamePlan(expectedPlan, planned)
      return planned
    },
    onAccepted: async (planned) => {
      if (keepData) requireHarmless(planned)
      const before = await readWanted(shop, project)
      const wanted = keptAfter(before, desired, { options, oneOff })
      if (oneOff === null && seen !== null) {
        const now = begun(updates, planned, { kept: before, desired: wanted, observed: seen })
        // Only then: with it the version before could not be known to an agent that begins anew.
        if (now.size + updates.size > 0) await shop.kept.writeUpdates(project, now)
      }
      await shop.kept.write(project, wanted)
      if (options.origin !== null) await shop.kept.writeOrigin(project, options.origin)
    },
  }
}

function requireHarmless({ project, steps }: Plan): void {
  const lost = new Set(steps.filter(({ destroys }) => destroys).map(({ on }) => on))
  if (lost.size > 0)
    throw new PakError(
      'unconfirmed',
      `up \`${project}\`: destroys the data of ${[...lost].join(', ')}`,
    )
}

/** A user's word ends what the loop remembers of earlier trouble: back-off, contests, what was told. */
export function beginAnew({ restarts, contest, reports, starts }: Workshop, project: string): void {
  for (const memory of [restarts, contest, reports, starts]) memory.forget(project)
}

/** Of what is run once only the dependencies are kept. */
function keptAfter(
  before: DesiredState | null,
  desired: DesiredState,
  { options, oneOff }: { readonly options: UpOptions; readonly oneOff: string | null },
): DesiredState {
  const service = desired.services.find(({ name }) => name === oneOff)
  if (oneOff === null || service === undefined) return keptAfterUp(before, desired, options)
  const services = options.noDeps ? [] : service.dependsOn.map((dependency) => dependency.service)
  return keptAfterUp(before, withoutService(desired, oneOff), { services, noDeps: false })
}

export async function down(
  shop: Workshop,
  project: string,
  { desired, options }: DownRequest,
  caller: Caller,
): Promise<ResultLine> {
  beginAnew(shop, project)
  const { result } = await perform(shop, {
    ...workOf(project, 'down', caller),
    scope: { drift: false },
    order: async () => ({
      desired: desired ?? (await shop.kept.read(project)),
      decide: (wanted, observed) => planDown(wanted, observed, options),
      // From here on nobody wants the project: an agent that is killed now finishes the job.
      onAccepted: () => shop.kept.remove(project),
    }),
  })
  if (!(await shop.parts.executor.projects()).includes(project)) {
    await shop.kept.sweep(project)
    shop.wholeLooks.delete(project)
  }
  return resultLine(result, caller.signal)
}

export async function act(
  shop: Workshop,
  project: string,
  { action, services, options }: ActionRequest,
  caller: Caller,
): Promise<ResultLine> {
  beginAnew(shop, project)
  const { result } = await perform(shop, {
    ...workOf(project, 'action', caller),
    cause: action,
    order: async () => ({
      desired: await shop.kept.read(project),
      decide: (_, observed) => planAction(action, observed, { ...options, services }),
      onAccepted: async () => {
        const before = await shop.kept.read(project)
        if (action === 'rm' && before !== null)
          await shop.kept.write(project, keptAfterRemove(before, services))
      },
    }),
  })
  return resultLine(result, caller.signal)
}

/** One turn of the loop: make good whatever has drifted, ended or become due. */
export async function pass(
  shop: Workshop,
  project: string,
  { cause, onlyStatus, hurry }: Why,
): Promise<PassOutcome> {
  const desired = await readWanted(shop, project)
  if (desired === null && unfinished(shop.kept.folder(project)) === 'down') {
    const { ok } = await down(shop, project, { desired: null, options: DOWN }, NOBODY)
    return { ok, wakeAt: null }
  }
  const isWhole =
    !onlyStatus || !isAhead(wholeLookAt(shop, project), shop.now().getTime(), LOOK_EVERY_MS)
  if (isWhole) shop.wholeLooks.set(project, shop.now().getTime())
  const { ok, conclusion, observed, plannedAt } = await turn(shop, project, {
    cause,
    hurry,
    isWhole,
  })
  if (conclusion !== null && conclusion.back.length + conclusion.paused.length > 0)
    return { ok, wakeAt: shop.now() }
  const dueAt = shop.starts.dueAt(project, plannedAt)
  return {
    ok,
    wakeAt:
      desired === null
        ? null
        : nextLook(observed, { plannedAt, dueAt, wholeAt: wholeLookAt(shop, project) }),
  }
}

/** Two folders whose files have one project name are taken for one project: said before anything stops. */
async function otherOrigin(
  shop: Workshop,
  project: string,
  origin: string | null,
): Promise<readonly string[]> {
  const before = await shop.kept.readOrigin(project)
  if (before === null || origin === null || before === origin) return []
  return [
    `project ${project} was last applied from ${before}, this file is in ${origin}: if they are two projects, give one another name (-p NAME)`,
  ]
}

function decideUp(
  shop: Workshop,
  options: UpOptions,
  { warnings, updates }: { readonly warnings: readonly string[]; readonly updates: Updates },
) {
  const { detached: _, origin: __, ...rest } = options
  const now = shop.now().toISOString()
  return (wanted: DesiredState | null, observed: ObservedState): Plan => {
    if (wanted === null) throw new Error('up: no desired state')
    const planning = { ...rest, removeVolumes: false, cause: 'user', now } as const
    // A user's `up` takes up again what is paused, where it ended: with what does not work yet.
    const { updating, paused } = standing(updates)
    const planned = plan(wanted, observed, {
      ...planning,
      updating: new Set([...updating, ...paused]),
    })
    return { ...planned, warnings: [...warnings, ...planned.warnings] }
  }
}

export function resultLine(
  { done, failed, skipped }: ApplyResult,
  signal: AbortSignal,
): ResultLine {
  const ok = failed.length === 0 && skipped.length === 0
  return {
    type: 'result',
    ok,
    done,
    failed: failed.map(({ id, error }) => ({ id, error: errorFacts(error) })),
    skipped,
    cancelled: signal.aborted && !ok,
    leaving: [],
  }
}

/** For whoever wants an operation done whole. @throws what its first failed step did, or PakError `apply` */
export function requireDone(operation: string, { ok, failed }: ResultLine): void {
  const [first] = failed
  if (first !== undefined) throw errorFromFacts(first.error)
  if (!ok) throw new PakError('apply', `${operation}: not all was done`)
}
