import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import { isOneOff } from '../model/one-off.ts'
import type { Plan, Reason } from '../model/plan.ts'
import { isToRestart } from '../model/status.ts'
import { firewallWorks } from './firewall.ts'
import { follow } from './follow.ts'
import { sequence } from './sequence.ts'
import { asItIs, byPlace, isUp, type Tasks, type Unit } from './unit.ts'

export type Action = 'stop' | 'start' | 'restart' | 'kill' | 'pause' | 'unpause' | 'rm'

export interface ActionSelection {
  /** Empty: all. */
  readonly services: readonly string[]
  /** Overrides every container's own grace period; `null`: it does not. */
  readonly graceMs: number | null
  /** For `kill`; `null`: SIGKILL. */
  readonly signal: string | null
  /** For `rm`: stop what runs first; without it only what does not run is removed. */
  readonly force: boolean
}

/** What a user asked to do to containers that exist; needs no file: their records know their order. */
export function planAction(
  action: Action,
  observed: ObservedState,
  selection: ActionSelection,
): Plan {
  const because: Reason = { kind: 'requested', by: action }
  const chosen = new Set(selection.services)
  const units = [...observed.containers].sort(byPlace).map((there): Unit => {
    // What ran once and has ended may go with the rest; by itself it is only touched by its name.
    const all = chosen.size === 0 && (action === 'rm' || !isOneOff(there.spec))
    const selected = all || chosen.has(there.service)
    const tasks = selected ? TASKS[action](there, because, selection.force) : {}
    const wanted = tasks.remove === undefined ? asItIs(there) : null
    const { service, replica } = there
    return { service, replica, observed: there, wanted, managed: selected, tasks }
  })
  const after = action === 'start' || action === 'restart' ? follow(units) : units
  return sequence({
    project: observed.project,
    record: null,
    networks: [],
    volumes: [],
    units: after,
    firewall:
      action === 'rm'
        ? firewallWorks({ observed, networks: [], units: after, services: null })
        : { apply: null, admit: null },
    stop: {
      graceMs: selection.graceMs,
      signal: action === 'kill' ? selection.signal : null,
      byUser: action !== 'restart',
    },
    waitTimeoutMs: action === 'start' || action === 'restart' ? WAIT_TIMEOUT_MS : null,
    warnings: [],
  })
}

/** How long a start waits for what it depends on to be healthy. */
const WAIT_TIMEOUT_MS = 300_000

const TASKS: Readonly<
  Record<Action, (there: ObservedContainer, because: Reason, force: boolean) => Tasks>
> = {
  // What is about to be restarted by its policy is stopped, too: a user's word ends that.
  stop: (there, because) => (isUp(there) || isToRestart(there.status) ? { stop: because } : {}),
  start: ({ status }, because) =>
    status.state === 'stopped' || status.state === 'created' ? { start: because } : {},
  restart: (there, because) =>
    isUp(there) ? { stop: because, start: because } : { start: because },
  kill: (there, because) => (isUp(there) ? { kill: because } : {}),
  pause: ({ status }, because) => (status.state === 'running' ? { pause: because } : {}),
  unpause: ({ status }, because) => (status.state === 'paused' ? { unpause: because } : {}),
  rm: (there, because, force) => {
    if (!isUp(there)) return { remove: because }
    return force ? { stop: because, remove: because } : {}
  },
}
