import { type Address, replicaAddress } from '../model/address.ts'
import type { Healthcheck } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Health } from '../model/status.ts'
import {
  afterCheck,
  type CheckResult,
  type HealthState,
  NEW_HEALTH,
  nextCheckMs,
} from './health.ts'
import type { Probe } from './parts.ts'

/** How much longer than its own timeout a probe may take to be killed before it is given up. */
const KILL_MARGIN_MS = 5_000

export interface ProberOptions {
  readonly probe: Probe
  readonly now: () => Date
  /** The status of a container changed. */
  readonly onChange: (change: HealthChange) => void
}

export interface HealthChange {
  readonly project: string
  readonly on: Address
  readonly health: Exclude<Health, null>
  /** Its service has other replicas: connections go by health. */
  readonly shared: boolean
  /** Of the check that decided it. */
  readonly output: string
}

interface Facts {
  readonly project: string
  readonly container: string
  readonly on: Address
  readonly check: Healthcheck
  readonly startedAt: string
}

interface Watched extends Facts {
  readonly ended: AbortController
  state: HealthState
  timer: NodeJS.Timeout | null
}

/** Runs the health checks of all running containers and keeps what they said, in memory. */
export class Prober implements Disposable {
  readonly #options: ProberOptions
  readonly #watched = new Map<string, Watched>()
  readonly #remembered = new Map<string, { startedAt: string; state: HealthState }>()

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** `null` where no check is declared, or this run of the container is not known yet. */
  healthOf(containerId: string, startedAt: string): Health {
    const known = this.#watched.get(containerId) ?? this.#remembered.get(containerId)
    return known?.startedAt === startedAt ? known.state.status : null
  }

  detailsOf(containerId: string): HealthState | null {
    return this.#watched.get(containerId)?.state ?? null
  }

  /** Check what runs now and has a check; forget the rest of this project. */
  sync(observed: ObservedState): void {
    const seen = new Set<string>()
    for (const container of observed.containers) {
      const { id, name, service, replica, status, spec } = container
      if (spec.healthcheck === null) continue
      if (status.state === 'paused') {
        // It cannot answer, and is not to blame: what was known of it holds until it goes on.
        this.#hold(id)
        continue
      }
      // Its health is asked for when its start is finished.
      if (status.state !== 'running' || container.unfinished === true) continue
      seen.add(id)
      this.#watch(id, {
        project: observed.project,
        container: name,
        on: replicaAddress(service, replica),
        check: spec.healthcheck,
        startedAt: status.startedAt,
      })
    }
    for (const [id, watched] of this.#watched)
      if (watched.project === observed.project && !seen.has(id)) this.#forget(id, watched)
  }

  /** What another agent needs to go on where this one ended. */
  snapshot(): Readonly<Record<string, { startedAt: string; state: HealthState }>> {
    const entries = [...this.#watched].map(
      ([id, { startedAt, state }]) => [id, { startedAt, state }] as const,
    )
    return Object.fromEntries(entries)
  }

  /** Takes over a snapshot, for containers that have not been started anew since. */
  restore(snapshot: ReturnType<Prober['snapshot']>): void {
    for (const [id, entry] of Object.entries(snapshot)) this.#remembered.set(id, entry)
  }

  [Symbol.dispose](): void {
    for (const [id, watched] of this.#watched) this.#forget(id, watched)
  }

  #watch(id: string, facts: Facts): void {
    const known = this.#watched.get(id)
    if (known?.startedAt === facts.startedAt && sameCheck(known.check, facts.check)) return
    if (known !== undefined) this.#forget(id, known)
    const remembered = this.#remembered.get(id)
    this.#remembered.delete(id)
    const sameRun = remembered?.startedAt === facts.startedAt
    const watched: Watched = {
      ...facts,
      ended: new AbortController(),
      state: sameRun ? remembered.state : NEW_HEALTH,
      timer: null,
    }
    this.#watched.set(id, watched)
    this.#schedule(watched)
  }

  /** No checks until it is watched again; then from where it was. */
  #hold(id: string): void {
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    this.#remembered.set(id, { startedAt: watched.startedAt, state: watched.state })
    this.#forget(id, watched)
  }

  #forget(id: string, watched: Watched): void {
    this.#watched.delete(id)
    if (watched.timer !== null) clearTimeout(watched.timer)
    watched.ended.abort()
  }

  #schedule(watched: Watched): void {
    if (watched.ended.signal.aborted) return
    const age = this.#options.now().getTime() - Date.parse(watched.startedAt)
    const wait = nextCheckMs(watched.state, watched.check, age)
    watched.timer = setTimeout(() => void this.#check(watched), wait)
  }

  async #check(watched: Watched): Promise<void> {
    const startedAt = this.#options.now().toISOString()
    const outcome = await this.#outcome(watched)
    if (watched.ended.signal.aborted) return
    const result = { ...outcome, startedAt, finishedAt: this.#options.now().toISOString() }
    const before = watched.state.status
    watched.state = afterCheck(watched.state, result, watched)
    this.#schedule(watched)
    const { project, on, state } = watched
    if (state.status === before) return
    const output = state.results.at(-1)?.output ?? ''
    const shared = this.#isShared(watched)
    this.#options.onChange({ project, on, health: state.status, shared, output })
  }

  #isShared({ project, on }: Watched): boolean {
    const service = on.slice(0, on.lastIndexOf('/') + 1)
    const replicas = [...this.#watched.values()].filter(
      (other) => other.project === project && other.on.startsWith(service),
    )
    return replicas.length > 1
  }

  async #outcome(watched: Watched): Promise<Pick<CheckResult, 'exitCode' | 'output'>> {
    const { project, container, check, ended } = watched
    const { test, timeoutMs } = check
    // A probe that cannot even be killed must not stop all later checks.
    const given = AbortSignal.any([ended.signal, AbortSignal.timeout(timeoutMs + KILL_MARGIN_MS)])
    try {
      const probing = this.#options.probe({ project, container, test, timeoutMs, signal: given })
      return await Promise.race([probing, whenAborted(given)])
    } catch (error) {
      const output = error instanceof Error ? error.message : String(error)
      return { exitCode: -1, output }
    }
  }
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(new Error('health check: no end in time'))
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}

const sameCheck = (one: Healthcheck, other: Healthcheck): boolean =>
  JSON.stringify(one) === JSON.stringify(other)
