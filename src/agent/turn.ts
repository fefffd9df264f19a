import { isAhead } from '../model/clock.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Plan } from '../model/plan.ts'
import { plan } from '../plan/plan.ts'
import { type Reported, reportedBy, tolerated } from '../plan/tolerance.ts'
import { startsFrom } from '../plan/verdict.ts'
import { standing, type Updates } from './updates.ts'
import { concludeUpdates, readWanted } from './updating.ts'
import { NOBODY, perform, type Workshop, workOf } from './work.ts'

/** A whole look for its own sake: what matters sooner tells of itself, see `startSentinel`. */
export const LOOK_EVERY_MS = 5 * 60_000

/** Make good whatever has drifted, ended or become due, as far as it is looked for. */
export async function turn(
  shop: Workshop,
  project: string,
  {
    cause,
    hurry,
    isWhole = true,
  }: { readonly cause: string; readonly hurry: AbortSignal; readonly isWhole?: boolean },
) {
  const desired = await readWanted(shop, project)
  const updates = await shop.kept.readUpdates(project)
  let plannedAt = shop.now()
  let found: readonly Reported[] = []
  const {
    result,
    observed,
    plan: planned,
  } = await perform(shop, {
    ...workOf(project, 'loop', NOBODY),
    cause,
    hurry,
    ...(isWhole ? {} : { scope: { drift: false } as const }),
    order: async () => ({
      desired,
      decide: (wanted, seen) => {
        plannedAt = shop.now()
        if (wanted === null) return nothing(project)
        const options = loopOptions(shop, project, { now: plannedAt, updates })
        const modes = tolerated(wanted, seen)
        if (modes.size === 0) return plan(wanted, seen, options)
        found = reportedBy(plan(wanted, seen, options), modes)
        const leave = new Set([...options.leave, ...modes.keys()])
        return plan(wanted, seen, { ...options, leave })
      },
      onAccepted: async () => {},
    }),
  })
  shop.events.add(shop.contest.count(planned, plannedAt))
  if (isWhole) shop.events.add(shop.reports.news(project, found, plannedAt))
  const ok = shop.starts.count(planned, result, shop.now())
  return {
    ok,
    result,
    observed,
    plannedAt,
    conclusion: await concludeUpdates(shop, project, { result }),
  }
}

export const loopOptions = (
  { contest, starts }: Workshop,
  project: string,
  { now, updates }: { readonly now: Date; readonly updates: Updates },
) =>
  ({
    services: null,
    noDeps: false,
    forceRecreate: false,
    removeOrphans: false,
    removeVolumes: false,
    cause: 'loop',
    timeoutMs: null,
    now: now.toISOString(),
    waitTimeoutMs: 300_000,
    leave: contest.leave(project, now),
    hold: starts.hold(project, now),
    ...standing(updates),
  }) as const

/**
 * When the next look at all of a project is due, in milliseconds since the epoch. Of what was left alone nobody
 * tells again.
 */
export const wholeLookAt = ({ wholeLooks, contest }: Workshop, project: string): number =>
  Math.min(
    (wholeLooks.get(project) ?? 0) + LOOK_EVERY_MS,
    contest.dueAt(project) ?? Number.POSITIVE_INFINITY,
  )

/**
 * When a restart, or a start that failed, is due that this plan came too early for, though it may be past by now; and now and then
 * at any rate, for drift that nobody tells about.
 */
export function nextLook(
  { containers }: ObservedState,
  {
    plannedAt,
    dueAt,
    wholeAt,
  }: { readonly plannedAt: Date; readonly dueAt: Date | null; readonly wholeAt: number },
): Date {
  const times = containers.flatMap(({ status }) =>
    status.state === 'stopped' && status.restartAt !== null ? [startsFrom(status.restartAt)] : [],
  )
  const all = dueAt === null ? times : [...times, dueAt.getTime()]
  const ahead = all.filter((time) => isAhead(time, plannedAt.getTime()))
  return new Date(Math.min(wholeAt, ...ahead))
}

function nothing(project: string): Plan {
  const summary = { create: 0, update: 0, recreate: 0, remove: 0, start: 0, stop: 0 }
  return { project, steps: [], summary, warnings: [] }
}
