import type { ByHand } from './attachments.ts'
import type {
  Affinity,
  ContainerSpec,
  Dependency,
  Network,
  PublishedPort,
  Volume,
} from './desired.ts'
import type { Limits } from './limits.ts'
import type { PlannedPolicies } from './plan.ts'
import type { ContainerStatus } from './status.ts'

/** What is: one project as the kernel and pak's own records show it, read in one go. */
export interface ObservedState {
  readonly project: string
  /** The project's record; `null` when pak knows nothing of it. */
  readonly record: {
    readonly limits: Limits
    /** What the kernel has otherwise for the project's own cgroup, a fact each. */
    readonly drift: readonly string[]
  } | null
  /** Sorted by name, as all lists here. */
  readonly containers: readonly ObservedContainer[]
  readonly networks: readonly ObservedNetwork[]
  /** Networks of other projects that its containers are on or may join, called as their specs do. */
  readonly elsewhere?: readonly ObservedNetwork[]
  readonly volumes: readonly ObservedVolume[]
  readonly firewall: ObservedFirewall
  /** Digest in the local store of each image reference that was asked for; `null`: not there. */
  readonly images: Readonly<Record<string, string | null>>
}

export interface ObservedContainer extends ByHand {
  /** `<project>-<service>-<n>` or `container_name`. */
  readonly name: string
  /** 64 hexadecimal digits, new for each create. */
  readonly id: string
  readonly service: string
  readonly replica: number
  /** The desired spec that it was made from, or last updated to. */
  readonly spec: ContainerSpec
  readonly dependsOn: readonly Dependency[]
  /** Digest of the image it was made from; `null` for `rootfs:`. */
  readonly imageDigest: string | null
  readonly status: ContainerStatus
  readonly restartCount: number
  readonly createdAt: string
  /** Network name -> IPv4 address; kept across recreates. */
  readonly addresses: Readonly<Record<string, string>>
  /** Network name -> IPv6 address, on networks with IPv6. */
  readonly addresses6?: Readonly<Record<string, string>>
  /** What is not as pak made it though it runs; of one that does not run, nothing. */
  readonly drift: readonly Drift[]
  /** It runs, but its start was cut short before its `post_start` hooks were done. */
  readonly unfinished?: boolean
}

/** Something in the kernel that somebody else changed. */
export interface Drift {
  /** `mounts` and `monitor` cannot be put right from outside. */
  readonly of: 'limits' | 'process' | 'network' | 'mounts' | 'monitor'
  /** For a reader: `memory.max was 134217728, should be 67108864`. */
  readonly fact: string
}

export interface ObservedNetwork {
  /** As declared when it was made. */
  readonly spec: Network
  readonly subnet: string
  readonly gateway: string
  readonly ipv6?: { readonly subnet: string; readonly gateway: string }
  /** Name of the bridge on the host. */
  readonly bridge: string
  /** Service -> its address here, as recorded; kept as long as it has one. */
  readonly services: Readonly<Record<string, string>>
  /** What the bridge or its settings lack, for a reader; `null`: it is as it was made. */
  readonly drift: string | null
}

export interface ObservedVolume {
  readonly spec: Volume
  readonly mountpoint: string
}

/** What pak's nft table holds for the project now. */
export interface ObservedFirewall {
  /** Why the table does nothing of what it should, for a reader; without a word: nothing is wrong with it as a whole. */
  readonly fault?: string
  /** Networks whose bridge the table knows (isolation, masquerade, DNS). */
  readonly networks: readonly string[]
  /** Several of one host port: its connections are spread over them. */
  readonly published: readonly ObservedPublication[]
  readonly services: readonly ObservedServiceAddress[]
  /** Without a word: the project has none. */
  readonly policies?: ObservedPolicies
  /** Chains of other programs that drop what comes from or goes to containers. Sorted. */
  readonly closed: readonly string[]
}

export interface ObservedPolicies {
  /** As the firewall was told last; `null`: nothing, yet there are some. */
  readonly planned: PlannedPolicies | null
  /** Whether the kernel still does it. */
  readonly whole: boolean
  /** By name of the rule, as `ruleName` has it. */
  readonly counts: Readonly<Record<string, { readonly packets: number; readonly bytes: number }>>
}

/** A published port that the firewall forwards. `container` is `null` where the target address is nobody's. */
export interface ObservedPublication extends PublishedPort {
  readonly container: string | null
  readonly affinity: Affinity
}

/** A service's address in a network that the firewall spreads over containers. */
export interface ObservedServiceAddress {
  readonly service: string
  readonly network: string
  readonly affinity: Affinity
  /** `null` for an address that is nobody's. */
  readonly containers: readonly (string | null)[]
}
