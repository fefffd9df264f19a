import type { Address } from './address.ts'
import type {
  Affinity,
  Attachment,
  ContainerSpec,
  Dependency,
  DependencyCondition,
  Network,
  PublishedPort,
  Volume,
} from './desired.ts'
import type { Limits } from './limits.ts'
import type { ServicePolicies } from './policy.ts'

/** Arguments of each op. A new op here fails to compile in every handler table until it is handled. */
export interface StepArgs {
  /** Make the project's record and parent cgroup, or bring its limits up to date. */
  'project.create': { readonly limits: Limits }
  'project.update': { readonly limits: Limits }
  /** Remove everything that is left of the project: record, cgroup, logs. Volumes stay. */
  'project.remove': { readonly keepVolumes: boolean }
  /** Make (or mend) bridge, gateway address and the record. */
  'network.create': { readonly network: Network }
  'network.remove': { readonly network: string }
  'volume.create': { readonly volume: Volume }
  'volume.remove': { readonly volume: string }
  /** Give identity and storage: record, addresses, overlay folders, bundle. Nothing runs yet. */
  'container.create': {
    readonly container: string
    readonly service: string
    readonly replica: number
    readonly spec: ContainerSpec
    readonly dependsOn: readonly Dependency[]
    readonly imageDigest: string | null
  }
  /** Mounts, namespaces, cgroup, veths, processes. */
  'container.start': {
    readonly container: string
    /** So many `post_start` hooks are part of it; not there: none. */
    readonly hooks?: number
    /** RFC 3339: all is prepared, and its process let go when its back-off is over; not there: at once. */
    readonly notBefore?: string
  }
  /** Signal, grace, kill; then the kernel objects go. Storage and record stay. */
  'container.stop': {
    readonly container: string
    /** `null`: the container's own stop signal. */
    readonly signal: string | null
    /** `null`: the container's own grace period. */
    readonly graceMs: number | null
    readonly byUser: boolean
    /** It is to run again: should that not come about in this plan, it is due at once. */
    readonly thenStart?: boolean
  }
  'container.remove': {
    readonly container: string
    /** Nothing takes its place: its logs go too. */
    readonly forGood: boolean
  }
  /** Change fields of class `live` in place. */
  'container.update': {
    readonly container: string
    readonly spec: ContainerSpec
    readonly dependsOn: readonly Dependency[]
    /** Top-level keys of ContainerSpec that differ, or `dependsOn`; sorted. */
    readonly fields: readonly string[]
  }
  /** Put right what somebody changed behind a running container: limits, cgroup, interfaces. Same processes. */
  'container.repair': { readonly container: string }
  /** Put it on a network, in place where it runs. */
  'container.connect': { readonly container: string; readonly attachment: Attachment }
  'container.disconnect': { readonly container: string; readonly network: string }
  'container.kill': { readonly container: string; readonly signal: string }
  /** Freeze all of its processes where they are; they keep their memory and get no time. */
  'container.pause': { readonly container: string }
  'container.unpause': { readonly container: string }
  /** Make the firewall know exactly these networks and published ports of the project: one nft transaction. */
  'firewall.apply': FirewallArgs
  /** The same once more: what this plan has started now takes connections, too. */
  'firewall.admit': FirewallArgs
  /** Wait until all containers of a service meet a condition. */
  'service.wait': {
    readonly containers: readonly string[]
    readonly condition: Exclude<DependencyCondition, 'service_started'> | 'service_updated'
    readonly timeoutMs: number
    /** For `service_updated`. */
    readonly update?: {
      /** Without a health check, it must run so long. */
      readonly monitorMs: number
      /** To wait afterwards. */
      readonly delayMs: number
      /** So many may fail, with those of `earlier` batches that do not work by then. */
      readonly tolerated: number
      readonly earlier: readonly string[]
    }
  }
}

export interface FirewallArgs {
  readonly networks: readonly string[]
  /** Several of one host port: its connections are spread over them. */
  readonly published: readonly PlannedPublication[]
  readonly services: readonly PlannedServiceAddress[]
  /** Without a word: none. */
  readonly policies?: PlannedPolicies
}

/** Who may talk to whom, and which containers are meant. */
export interface PlannedPolicies {
  /** Sorted by service. */
  readonly rules: readonly ServicePolicies[]
  /** Containers of all services that have or are named by rules. Sorted. */
  readonly members: readonly PlannedMember[]
}

export interface PlannedMember {
  readonly container: string
  readonly service: string
  /** Addresses as declared; `null`: pak leases one. */
  readonly networks: readonly {
    readonly network: string
    readonly ipv4: string | null
    readonly ipv6?: string
  }[]
}

/** An address of a service's own in a network; connections to it are spread over containers. */
export interface PlannedServiceAddress {
  readonly service: string
  readonly network: string
  readonly affinity: Affinity
  /** `ipv4` as declared; `null`: pak leases one. */
  readonly targets: readonly { readonly container: string; readonly ipv4: string | null }[]
  /** Addresses that containers declare there: not for the service. Sorted. */
  readonly reserved: readonly string[]
}

export interface PlannedPublication extends PublishedPort {
  readonly container: string
  /** The network whose address receives the traffic: the container's first that is not internal, else its first. */
  readonly network: string
  /** The address declared for the container in that network; `null`: pak leases one. */
  readonly ipv4: string | null
  readonly ipv6?: string
  /** With one container: `none`. */
  readonly affinity: Affinity
}

export type Op = keyof StepArgs

/** One unit of work. The union is distributed over ops, so that `step.op` narrows `step.args` without a cast. */
export type Step = { [O in Op]: StepOf<O> }[Op]

export interface StepOf<O extends Op> {
  /** `<op>:<address>`, unique in a plan. */
  readonly id: `${O}:${Address}`
  readonly op: O
  readonly on: Address
  readonly because: Reason
  /** Ids of the steps that must be done first. Sorted. */
  readonly needs: readonly string[]
  /** It destroys data that a user may want: the CLI asks once. */
  readonly destroys: boolean
  readonly args: StepArgs[O]
}

/** Why a step is in the plan, as data. */
export type Reason =
  | { readonly kind: 'missing' }
  | { readonly kind: 'changed'; readonly fields: readonly FieldChange[] }
  /** It is there, but the file does not have it. */
  | { readonly kind: 'orphan' }
  /** More replicas run than the file wants. */
  | { readonly kind: 'scaled'; readonly from: number; readonly to: number }
  | {
      readonly kind: 'exited'
      readonly exitCode: number
      readonly oomKilled: boolean
      /** In an event: how long it ran, and when the restart policy starts it again (RFC 3339). */
      readonly ranMs?: number
      readonly restartAt?: string | null
    }
  /** In an event: the kernel killed it for memory. */
  | {
      readonly kind: 'oom'
      /** `null`: the kernel does not tell. */
      readonly peakBytes: number | null
      readonly limitBytes: number | null
      /** Whom the kernel chose, by its own log; `pid` is the host's. */
      readonly process: { readonly name: string; readonly pid: number } | null
    }
  /** `output`: of the last check, where this tells of the verdict itself. */
  | { readonly kind: 'unhealthy'; readonly output?: string }
  /** What went wrong, for an event of its own. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'drift'; readonly fact: string }
  /** A batch of a rolling update. */
  | {
      readonly kind: 'batch'
      readonly service: string
      readonly number: number
      readonly of: number
    }
  /** One more than the file wants, while others of `service` are replaced. */
  | { readonly kind: 'surge'; readonly service: string }
  /** A dependency: `service` was recreated or restarted, or must be ready first. */
  | { readonly kind: 'dependency'; readonly service: string }
  /** A user asked for just this: `--force-recreate`, `pak restart`, `pak down -v`. */
  | { readonly kind: 'requested'; readonly by: string }

export interface FieldChange {
  /** As a user would write it, for example `environment.GREETING` or `limits.memory`. */
  readonly path: string
  readonly from: unknown
  readonly to: unknown
}

export interface Plan {
  readonly project: string
  /** In an order that respects `needs`; the same input gives the same bytes. */
  readonly steps: readonly Step[]
  readonly summary: PlanSummary
  /** What is left alone and may surprise, for example orphan containers. */
  readonly warnings: readonly string[]
}

export interface PlanSummary {
  readonly create: number
  readonly update: number
  readonly recreate: number
  readonly remove: number
  readonly start: number
  readonly stop: number
}
