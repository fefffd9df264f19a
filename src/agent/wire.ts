import type { DesiredState } from '../model/desired.ts'
import type { ApplyEvent, ErrorFacts } from '../model/events.ts'
import type { Plan } from '../model/plan.ts'
import type { Health, StateWord } from '../model/status.ts'
import type { Action } from '../plan/action.ts'

/** What crosses the agent's socket. JSON; streams are one object a line. New keys may be added. */

export interface AgentStatus {
  readonly pid: number
  readonly version: string
  readonly startedAt: string
  readonly projects: readonly string[]
  readonly socket: string
  /** Resident memory of the agent. */
  readonly memoryBytes: number
}

/** How to plan an `up`. Every field may be left out on the wire. */
export interface UpOptions {
  /** Only these services and, unless `noDeps`, what they depend on; `null`: all. */
  readonly services: readonly string[] | null
  readonly noDeps: boolean
  readonly forceRecreate: boolean
  readonly removeOrphans: boolean
  /** Instead of each container's own grace period when it is stopped. */
  readonly timeoutMs: number | null
  readonly waitTimeoutMs: number
  /** Absolute folder of the manifest; `null`: not known. */
  readonly origin: string | null
  /** Go on when the client goes away. */
  readonly detached: boolean
}

export interface DownOptions {
  readonly removeVolumes: boolean
  readonly removeOrphans: boolean
  readonly graceMs: number | null
  readonly detached: boolean
}

export type { Action }

export interface ActionOptions {
  readonly graceMs: number | null
  /** For `kill`; `null`: SIGKILL. */
  readonly signal: string | null
  /** For `rm`: stop what runs first. */
  readonly force: boolean
  readonly detached: boolean
}

export interface PlanRequest {
  readonly desired: DesiredState
  readonly options: UpOptions
}

export interface UpRequest extends PlanRequest {
  /** `pak up --plan FILE`: refuse with `plan_stale` unless planning now gives just this. */
  readonly expectedPlan: Plan | null
  /** Refuse with `unconfirmed` what would lose data; the plan was told by then. */
  readonly keepData?: boolean
  /** `pak run`: the service among those of `desired` that is made, not started, and not kept. */
  readonly oneOff?: string | null
}

/** A path in a container. */
export interface CopyPlace {
  readonly project: string
  readonly container: string
  readonly path: string
}

/** Start what an `up` with `oneOff` has made, with the caller's own stdio. */
export interface LaunchRequest {
  readonly project: string
  readonly container: string
  readonly tty: boolean
  /** Of the caller, who tells how it ended. */
  readonly pid: number
}

export interface LaunchEnd {
  readonly project: string
  readonly container: string
  readonly exitCode: number
}

export interface DownRequest {
  /** `null`: what the agent remembers. */
  readonly desired: DesiredState | null
  readonly options: DownOptions
}

export interface ActionRequest {
  readonly action: Action
  /** Empty: all. */
  readonly services: readonly string[]
  readonly options: ActionOptions
}

export interface RollbackRequest {
  /** Empty: all that were updated. */
  readonly services: readonly string[]
  readonly detached: boolean
}

export interface PlanAnswer {
  readonly plan: Plan
  /** What stands in the way on this host; `up` would refuse. */
  readonly problems: readonly ErrorFacts[]
}

/** A line of the stream that `up`, `down` and actions answer with: the plan first, the result last. */
export type OperationLine = { readonly type: 'plan'; readonly plan: Plan } | ApplyEvent | ResultLine

export interface ResultLine {
  readonly type: 'result'
  readonly ok: boolean
  readonly done: readonly string[]
  readonly failed: readonly { readonly id: string; readonly error: ErrorFacts }[]
  readonly skipped: readonly string[]
  readonly cancelled: boolean
  /** Processes of the agent that end now, because nothing is left to look after. */
  readonly leaving: readonly number[]
}

export interface EventsQuery {
  readonly project: string | null
  /** RFC 3339; events from then on. */
  readonly since: string | null
  readonly follow: boolean
}

export interface SampleQuery {
  readonly project: string | null
  readonly sampleMs: number
}

/** One object of `pak ps --format json`. */
export interface ContainerRow {
  readonly project: string
  readonly service: string
  readonly container: string
  readonly id: string
  readonly state: StateWord
  readonly health: Health
  readonly exitCode: number | null
  readonly oomKilled: boolean
  readonly restartCount: number
  readonly pid: number | null
  readonly image: string
  readonly ports: readonly {
    readonly hostIp: string
    readonly published: number
    readonly target: number
    readonly protocol: string
  }[]
  readonly networks: Readonly<Record<string, { readonly ip: string; readonly ip6: string | null }>>
  readonly createdAt: string
  readonly startedAt: string | null
  readonly finishedAt: string | null
}

/** One object of `pak network ls --format json`. */
export interface NetworkRow {
  readonly name: string
  /** `null`: made by hand. */
  readonly project: string | null
  readonly driver: string
  readonly subnet: string
  readonly gateway: string
  /** Of IPv6; `null` without it. */
  readonly subnet6: string | null
  readonly gateway6: string | null
  readonly bridge: string
  readonly internal: boolean
}

/** One object of `pak volume ls --format json`. */
export interface VolumeRow {
  readonly name: string
  /** `null`: made by hand. */
  readonly project: string | null
  readonly driver: string
  readonly filesystem: string | null
  readonly sizeBytes: number | null
  readonly usedBytes: number | null
  readonly mountpoint: string
  readonly labels: Readonly<Record<string, string>>
  /** Who has it, running or not. */
  readonly containers: readonly { readonly project: string; readonly name: string }[]
}
