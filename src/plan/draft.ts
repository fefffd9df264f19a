import type { Volume } from '../model/desired.ts'
import type { Limits } from '../model/limits.ts'
import type { Reason } from '../model/plan.ts'
import type { Batch } from './batches.ts'
import type { FirewallWorks } from './firewall.ts'
import type { NetworkWork } from './networks.ts'
import type { Unit } from './unit.ts'

/** Everything that was decided, and why, before it is put in order. */
export interface Draft {
  readonly project: string
  readonly record: RecordWork | null
  readonly networks: readonly NetworkWork[]
  readonly volumes: readonly VolumeWork[]
  readonly units: readonly Unit[]
  readonly firewall: FirewallWorks
  readonly stop: StopManner
  /** Of rolling updates, one after the other. Default: none. */
  readonly batches?: readonly Batch[]
  /** RFC 3339: when the loop looked. Not there: it is a user's plan, which waits for no back-off. */
  readonly lookedAt?: string
  /** Bound of every wait for a dependency; `null`: nothing waits. */
  readonly waitTimeoutMs: number | null
  readonly warnings: readonly string[]
}

export type RecordWork =
  | { readonly verb: 'create' | 'update'; readonly because: Reason; readonly limits: Limits }
  | { readonly verb: 'remove'; readonly because: Reason; readonly keepVolumes: boolean }

export type VolumeWork =
  | { readonly verb: 'create'; readonly because: Reason; readonly volume: Volume }
  | { readonly verb: 'remove'; readonly because: Reason; readonly volume: Volume }

/** How containers are stopped, unless their own spec says it. */
export interface StopManner {
  readonly graceMs: number | null
  readonly signal: string | null
  readonly byUser: boolean
}
