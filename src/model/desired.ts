import type { CniNetwork } from './cni.ts'
import type { Lan } from './lan.ts'
import type { Limits } from './limits.ts'
import type { Logging } from './logging.ts'
import type { Policies } from './policy.ts'

/** What should be: one project, fully normalised. But for `peers`, no field depends on the order of anything in the file. */
export interface DesiredState {
  readonly project: string
  /** A ceiling for the whole project: its parent cgroup. */
  readonly limits: Limits
  /** For networks, the firewall, and services that do not say; what an earlier version kept has none. */
  readonly drift?: DriftMode
  /** Sorted by name, as are `networks` and `volumes`. Services switched off by a profile are not here. */
  readonly services: readonly Service[]
  readonly networks: readonly Network[]
  readonly volumes: readonly Volume[]
}

/** What pak does by itself about what others changed: put it right, say so, or nothing. */
export type DriftMode = 'repair' | 'report' | 'off'

export interface Service {
  readonly name: string
  readonly replicas: number
  /** `container_name`; only with one replica. */
  readonly containerName: string | null
  /** `null`: `vip` for more than one replica, and for what has had an address of its own before. */
  readonly endpointMode: EndpointMode | null
  readonly affinity: Affinity
  /** What is not declared is not here. */
  readonly policies?: Policies
  /** `null`: as the project. */
  readonly drift?: DriftMode | null
  /** How replicas are made anew; not there: all at once. */
  readonly update?: UpdatePolicy
  /** The image that a rollback goes back to, whatever its reference means by now. */
  readonly imageDigest?: string
  /** Sorted by service. */
  readonly dependsOn: readonly Dependency[]
  /** Everything that decides how each replica is made and kept. */
  readonly container: ContainerSpec
}

/** `update_config`: replicas are replaced one batch after the other. */
export interface UpdatePolicy {
  /** `start-first`: so many as are in a batch start in addition before the first one stops. */
  readonly order: 'stop-first' | 'start-first'
  /** Replicas in a batch; 0: all of them. */
  readonly parallelism: number
  /** Between two batches. */
  readonly delayMs: number
  /** How long a replica without a health check must run before it counts as updated. */
  readonly monitorMs: number
  readonly onFailure: 'pause' | 'continue' | 'rollback'
  /** This part of the replicas may fail; 0 to 1. */
  readonly maxFailureRatio: number
}

/** What a service's name is: one address in front of all replicas, or each replica's own. */
export type EndpointMode = 'vip' | 'dnsrr'

/** Which replica a connection goes to: any, or for each client address always the same. */
export type Affinity = 'none' | 'client_ip'

/** Compose's `depends_on` conditions. */
export type DependencyCondition =
  | 'service_started'
  | 'service_healthy'
  | 'service_completed_successfully'

export interface Dependency {
  readonly service: string
  readonly condition: DependencyCondition
  readonly required: boolean
  /** Restart this service after the other was recreated or restarted by pak. */
  readonly restart: boolean
}

export interface ContainerSpec {
  readonly source: RootSource
  /** `null`: the image's own. */
  readonly entrypoint: readonly string[] | null
  readonly command: readonly string[] | null
  /** Values of env files are already merged in: their content is state, not their path. */
  readonly environment: Readonly<Record<string, string>>
  readonly workingDir: string | null
  readonly user: string | null
  readonly groupAdd: readonly string[]
  /** `null`: the container's name. */
  readonly hostname: string | null
  readonly domainname: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly limits: Limits
  /** Sorted by target. */
  readonly mounts: readonly Mount[]
  readonly shmBytes: number
  readonly networkMode: NetworkMode
  /** Sorted by network, the project's own first; empty unless `networkMode.kind` is `bridge`. */
  readonly networks: readonly Attachment[]
  /** Sorted by target, protocol, host address, published port. */
  readonly ports: readonly PublishedPort[]
  readonly expose: readonly string[]
  readonly restart: RestartPolicy
  readonly logging: Logging
  readonly healthcheck: Healthcheck | null
  /** Run in the container once it has started, one after the other; until they are done it has not. */
  readonly postStart: readonly Hook[]
  /** Run in the container before it is told to stop, within its grace period. */
  readonly preStop: readonly Hook[]
  /** A signal's name with its `SIG`, for example `SIGTERM`. `null`: the image's, else SIGTERM. */
  readonly stopSignal: string | null
  readonly stopGraceMs: number
  readonly init: boolean
  readonly readOnly: boolean
  readonly capAdd: readonly string[]
  readonly capDrop: readonly string[]
  readonly privileged: boolean
  readonly security: SecurityOptions
  readonly sysctls: Readonly<Record<string, string>>
  /** Sorted by name. */
  readonly ulimits: readonly Ulimit[]
  /** `name -> address`, sorted by name; `host-gateway` stays as it is until the container is made. */
  readonly extraHosts: Readonly<Record<string, string>>
  readonly dns: readonly string[]
  readonly dnsSearch: readonly string[]
  readonly dnsOptions: readonly string[]
  readonly devices: readonly Device[]
  /** `null`: a namespace of its own. */
  readonly pidMode: NamespaceMode | null
  readonly ipcMode: NamespaceMode | null
  readonly utsMode: 'host' | null
  /** Added to the badness of its processes when the machine is out of memory: -1000 to 1000. */
  readonly oomScoreAdj: number
  /** What is not declared is not here. */
  readonly bandwidth?: Bandwidth
}

/** Of each interface, in bits a second; `null`: unbounded. */
export interface Bandwidth {
  /** Towards the container. */
  readonly ingressBits: number | null
  readonly egressBits: number | null
}

export type RootSource =
  | { readonly kind: 'image'; readonly reference: string }
  /** An absolute folder. `/` is this machine's own file system, always read-only. */
  | { readonly kind: 'rootfs'; readonly path: string }

export type Mount =
  | {
      readonly kind: 'bind'
      /** Absolute path on the host. */
      readonly source: string
      readonly target: string
      readonly readOnly: boolean
      readonly createHostPath: boolean
      readonly propagation: 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave'
    }
  | {
      readonly kind: 'volume'
      /** Name of a declared volume; `null` for an anonymous one, which lives as long as its container. */
      readonly volume: string | null
      readonly target: string
      readonly readOnly: boolean
      /** Do not copy what the image has at the target into a new, empty volume. */
      readonly noCopy: boolean
    }
  | {
      readonly kind: 'tmpfs'
      readonly target: string
      readonly sizeBytes: number | null
      /** Octal permission bits as a number, for example 0o1777. */
      readonly mode: number | null
      readonly readOnly: boolean
    }

export type NetworkMode =
  | { readonly kind: 'bridge' }
  | { readonly kind: 'none' }
  | { readonly kind: 'host' }
  /** Share the network namespace of the first replica of another service. */
  | { readonly kind: 'service'; readonly service: string }
  /** The same of one container of any project, by its name. */
  | { readonly kind: 'container'; readonly container: string }

export interface Attachment {
  /** One of the project's own; of another project's or made by hand: see `foreignName`. */
  readonly network: string
  /** Besides the service's and the container's name. Sorted. */
  readonly aliases: readonly string[]
  readonly ipv4: string | null
  /** In its one form (RFC 5952). What is not declared is not here, as with the rest. */
  readonly ipv6?: string
  /** Lower case, with colons. */
  readonly mac?: string
  readonly interfaceName?: string
  /** The network with the highest one has the default route; 0 where nothing is said. */
  readonly gwPriority?: number
}

export const PORT_PROTOCOLS = ['tcp', 'udp', 'sctp'] as const
export type PortProtocol = (typeof PORT_PROTOCOLS)[number]

export interface PublishedPort {
  /** An address, `0.0.0.0` for all (IPv6 too, where the container has it), `::` for all of IPv6. */
  readonly hostIp: string
  readonly published: number
  readonly target: number
  readonly protocol: PortProtocol
}

export interface RestartPolicy {
  readonly name: 'no' | 'always' | 'on-failure' | 'unless-stopped'
  /** Only for `on-failure`; `null`: without end. */
  readonly maxRetries: number | null
}

export interface Healthcheck {
  readonly test: HealthTest
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly startPeriodMs: number
  readonly startIntervalMs: number
  readonly retries: number
  /** What is done about a container once it is unhealthy. */
  readonly onUnhealthy: 'none' | 'restart' | 'stop'
}

export type HealthTest =
  /** What is run in it: `exec` by itself, `shell` through the container's `/bin/sh -c`. */
  | { readonly kind: 'exec' | 'shell'; readonly command: readonly string[] }
  /** Somebody takes connections at this port. */
  | { readonly kind: 'tcp'; readonly port: number }
  | HttpTest

/** One request, answered with one of these statuses. Redirects are not followed. */
export interface HttpTest {
  readonly kind: 'http'
  readonly port: number
  /** Whether in TLS. Nobody vouches for a name of a container: certificates are not verified. */
  readonly tls: boolean
  readonly method: 'GET' | 'HEAD'
  /** With the query; begins with a slash. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly statuses: readonly { readonly least: number; readonly most: number }[]
}

/** A command that is run in a running container when it starts or stops. */
export interface Hook {
  readonly command: readonly string[]
  /** `null`: the container's own, as for `workingDir`. */
  readonly user: string | null
  readonly workingDir: string | null
  /** With all capabilities of this host. */
  readonly privileged: boolean
  /** On top of the container's own. */
  readonly environment: Readonly<Record<string, string>>
}

export interface SecurityOptions {
  readonly noNewPrivileges: boolean
  /** `default`: pak's allow-list; `unconfined`: none; otherwise the text of a profile in Docker's JSON form. */
  readonly seccomp: 'default' | 'unconfined' | { readonly profile: string }
  /** `null`: the runtime's default; `unconfined`: none. */
  readonly apparmor: string | null
  /** Keep `/proc` and `/sys` paths unmasked (`systempaths=unconfined`). */
  readonly unmaskPaths: boolean
}

export interface Ulimit {
  /** Lower case without `RLIMIT_`, for example `nofile`. */
  readonly name: string
  /** -1 is unlimited. */
  readonly soft: number
  readonly hard: number
}

export interface Device {
  readonly source: string
  readonly target: string
  /** A subset of `rwm`. */
  readonly permissions: string
}

export type NamespaceMode =
  | { readonly kind: 'host' }
  | { readonly kind: 'service'; readonly service: string }

export interface Network {
  readonly name: string
  /** `vxlan`: a bridge as well, that a tunnel joins with those of other machines. See `kindOf`. */
  readonly driver: 'bridge' | 'vxlan' | 'macvlan' | 'ipvlan' | 'cni'
  readonly internal: boolean
  /** CIDR; `null`: pak picks one that collides with nothing. */
  readonly subnet: string | null
  readonly gateway: string | null
  readonly labels: Readonly<Record<string, string>>
  /** With IPv6 besides. What is not declared is not here, as with the rest. `null`: pak picks. */
  readonly ipv6?: { readonly subnet: string | null; readonly gateway: string | null }
  /** CIDR within `subnet`: pak leases only from here. */
  readonly ipRange?: string
  /** Name -> address of either family that pak leases to nobody. */
  readonly auxAddresses?: Readonly<Record<string, string>>
  readonly mtu?: number
  /** Name of the bridge on the host. */
  readonly bridge?: string
  /** Its containers do not reach each other. */
  readonly isolated?: true
  /** Containers of other projects may join it. */
  readonly attachable?: true
  /** With `driver: vxlan`, and only then. */
  readonly overlay?: Overlay
  /** With `driver: macvlan` or `ipvlan`, and only then. */
  readonly lan?: Lan
  /** With `driver: cni`, and only then. */
  readonly cni?: CniNetwork
}

/** What the machines of a network agree on; all of them have the same file. */
export interface Overlay {
  /** 24 bits, not 0 (RFC 7348, section 5). */
  readonly vni: number
  /** UDP. */
  readonly port: number
  /** Within WireGuard. */
  readonly encrypted: boolean
  /** Of WireGuard, UDP; only with `encrypted`. */
  readonly wireguardPort?: number
  /** Which of the peers this machine is. */
  readonly host: string
  /** In the order of the file: by its place each has its part of the subnet. */
  readonly peers: readonly OverlayPeer[]
}

export interface OverlayPeer {
  readonly name: string
  /** IPv4, where the other machines reach it. */
  readonly address: string
  /** CIDR: what it leases from. */
  readonly range: string
  /** Its address on the network. */
  readonly gateway: string
  /** WireGuard's, in base64; only with `encrypted`. */
  readonly publicKey?: string
}

export interface Volume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}
