import type { Address } from '../model/address.ts'

/** What a caller may ask of `plan`. */
export interface PlanOptions {
  /** Limit the plan to these services and, unless `noDeps`, what they depend on; `null`: all. */
  readonly services: readonly string[] | null
  readonly noDeps: boolean
  /** Recreate the selected services even when nothing differs. */
  readonly forceRecreate: boolean
  /** Remove containers of services that the file does not have. */
  readonly removeOrphans: boolean
  /** Remove volumes that the file does not have. */
  readonly removeVolumes: boolean
  /** `loop` respects what a user stopped and what the restart policy has not called for. */
  readonly cause: 'user' | 'loop'
  /** Overrides every container's own grace period; `null`: it does not. */
  readonly timeoutMs: number | null
  /** RFC 3339: the moment that restart verdicts are compared with. */
  readonly now: string
  /** Bound of every `service.wait`. */
  readonly waitTimeoutMs: number
  /** What others changed here is not put right now: they insist, and so would pak. Default: nothing. */
  readonly leave?: ReadonlySet<Address>
  /** Replicas that are not started yet: that failed, and is tried again later. Default: none. */
  readonly hold?: ReadonlySet<Address>
  /** Services whose update was under way, and must be seen to its end. Default: none. */
  readonly updating?: ReadonlySet<string>
  /** Services whose update has failed: what still runs of the version before stays. Default: none. */
  readonly paused?: ReadonlySet<string>
}
