import { attachmentsOf } from '../model/attachments.ts'
import { isAhead } from '../model/clock.ts'
import type { ObservedContainer } from '../model/observed.ts'
import type { FieldChange, Reason } from '../model/plan.ts'
import { isToRestart } from '../model/status.ts'
import { diffContainer } from './diff.ts'
import type { PlanOptions } from './options.ts'
import { isUp, MISSING, type Tasks, type Wanted } from './unit.ts'

export interface Case {
  readonly wanted: Wanted
  readonly observed: ObservedContainer | null
  /** Networks that have to be made anew, with what differs. */
  readonly replaced: ReadonlyMap<string, readonly FieldChange[]>
  readonly forced: boolean
  readonly options: PlanOptions
}

/** So long before its back-off is over a start begins: mounts, namespaces and addresses take about as long. */
const START_AHEAD_MS = 150

/** When to begin with a start that is due then, RFC 3339; in milliseconds since the epoch. */
export const startsFrom = (restartAt: string): number => Date.parse(restartAt) - START_AHEAD_MS

/** What has to be done about one replica of a declared service, by itself. */
export function judge(at: Case): Tasks {
  const { wanted, observed, options } = at
  if (observed === null) return { create: MISSING, start: MISSING }
  if (options.cause === 'loop' && stoppedByUser(observed)) return {}
  const changes = diffContainer(wanted, observed).filter(({ on }) => on !== 'ignore')
  const fields = [...changes.map(({ change }) => change), ...replacedFields(at.replaced, observed)]
  const live = changes.every(({ on }) => on === 'live') && fields.length === changes.length
  if (!live) return recreate(observed, { kind: 'changed', fields })
  if (at.forced) return recreate(observed, { kind: 'requested', by: '--force-recreate' })
  const sick = unhealthy(wanted, observed)
  const start = sick.start ?? startReason(observed, options)
  return {
    ...(fields.length > 0 ? { update: { kind: 'changed', fields } } : {}),
    ...repair(observed),
    ...sick,
    ...(start === null ? {} : { start }),
  }
}

/** What the file wants done once the health check has given its verdict. */
function unhealthy({ spec }: Wanted, { status }: ObservedContainer): Tasks {
  const sick = status.state === 'running' && status.health === 'unhealthy'
  const action = spec.healthcheck?.onUnhealthy ?? 'none'
  if (!sick || action === 'none') return {}
  const because: Reason = { kind: 'unhealthy' }
  return action === 'stop' ? { stop: because } : { stop: because, start: because }
}

/**
 * A lost mount comes back with a new run only: nobody can mount into a container from outside and be safe. Nor
 * does a second monitor get the pipes of the first.
 */
function repair({ drift }: ObservedContainer): Tasks {
  if (drift.length === 0) return {}
  const because: Reason = { kind: 'drift', fact: drift.map(({ fact }) => fact).join('; ') }
  const lost = drift.some(({ of }) => of === 'mounts' || of === 'monitor')
  return lost ? { stop: because, start: because } : { repair: because }
}

/** A container out of the plan's scope: made anew only when a network under it is. */
export function judgeOutsider(
  observed: ObservedContainer,
  replaced: ReadonlyMap<string, readonly FieldChange[]>,
): Tasks {
  const fields = replacedFields(replaced, observed)
  if (fields.length === 0) return {}
  const { start, ...rest } = recreate(observed, { kind: 'changed', fields })
  const runs = isUp(observed) || isToRestart(observed.status)
  return runs && start !== undefined ? { ...rest, start } : rest
}

function replacedFields(
  replaced: Case['replaced'],
  observed: ObservedContainer,
): readonly FieldChange[] {
  return attachmentsOf(observed.spec, observed).flatMap(
    ({ network }) => replaced.get(network) ?? [],
  )
}

function recreate(observed: ObservedContainer, reason: Reason): Tasks {
  const stop = isUp(observed) ? { stop: reason } : {}
  return { ...stop, remove: reason, create: reason, start: reason }
}

function startReason(observed: ObservedContainer, options: PlanOptions): Reason | null {
  const { status, unfinished = false } = observed
  if (status.state === 'created') return MISSING
  if (status.state === 'running' && unfinished) return MISSING
  if (status.state !== 'stopped') return null
  const exited: Reason = {
    kind: 'exited',
    exitCode: status.exitCode,
    oomKilled: status.oomKilled,
  }
  if (options.cause === 'user') {
    if (isCompleted(observed)) return null
    return status.byUser ? { kind: 'requested', by: 'up' } : exited
  }
  const due =
    status.restartAt !== null && !isAhead(startsFrom(status.restartAt), Date.parse(options.now))
  return due ? exited : null
}

/** It did what it was for, and its policy does not want it again: a migration, a seed. */
export function isCompleted({ spec, status }: ObservedContainer): boolean {
  if (status.state !== 'stopped' || status.exitCode !== 0 || status.byUser) return false
  return spec.restart.name === 'no' || spec.restart.name === 'on-failure'
}

const stoppedByUser = ({ status }: ObservedContainer): boolean =>
  status.state === 'stopped' && status.byUser
