/** Who is called what, and where: pure data, made anew whenever a container starts, stops or changes health. */
export interface Zone {
  readonly networks: readonly ZoneNetwork[]
}

export interface ZoneNetwork {
  /** `<project>/<network>`. */
  readonly id: string
  /** Names from outside are never asked for on behalf of who has only such networks. */
  readonly internal: boolean
  /**
   * This host's addresses there: what `host.pak.internal` means. IPv4, then IPv6 where there is one. None:
   * this host is not on it, its containers ask as `askerOf` has it, and nobody by an address there.
   */
  readonly gateways?: readonly string[]
  /** Other machines that have containers of it: each knows its own only. */
  readonly peers?: readonly ZonePeer[]
  readonly containers: readonly ZoneContainer[]
  /** Addresses in front of several containers. They never ask. */
  readonly services: readonly ZoneService[]
  /** Declared names, running or not: never asked for outside, so that a stopped service is told at once. */
  readonly names: readonly string[]
}

/** Another machine, by its address on the network. */
export interface ZonePeer {
  readonly gateway: string
  /** CIDR: the addresses of its containers. */
  readonly range: string
}

/** A port that something listens on. */
export interface ZonePort {
  readonly port: number
  readonly protocol: string
}

/** An address in front of a service's containers, of which one runs at least. */
export interface ZoneService {
  readonly name: string
  /** IPv4. */
  readonly address: string
  readonly address6?: string
  /** The service's name and its aliases on this network. Any case. */
  readonly names: readonly string[]
  readonly ports?: readonly ZonePort[]
  /** False when none of its containers is. */
  readonly healthy?: boolean
}

/** A running container on one network; the same container has an entry in each of its networks. */
export interface ZoneContainer {
  readonly name: string
  /** Not there: the network's. */
  readonly project?: string
  /** IPv4. */
  readonly address: string
  readonly address6?: string
  /** Service, container name and aliases on this network. Any case. */
  readonly names: readonly string[]
  /** Of `ports` and `expose`. */
  readonly ports?: readonly ZonePort[]
  /** False only when its health check says so; then it is not answered while another one is. */
  readonly healthy: boolean
  /** `dns:` of the container: asked instead of the host's servers. */
  readonly servers: readonly string[]
}

/** What one asker may see: looked up once per query, built once per zone. */
export interface Scope {
  /**
   * Lower-case name -> addresses on networks that asker and answerer share; none for a declared name
   * that nobody answers to now; `null` when the name is not known here.
   */
  lookup(name: string): readonly string[] | null
  /** The same for IPv6: none, too, where the name is known but has only IPv4. */
  lookup6(name: string): readonly string[]
  /** Whether `lookup` found only who is not healthy: to be had while nobody else is. */
  doubtful(name: string): boolean
  /** Who is behind a name, as `lookup` has it. */
  targets(name: string): readonly Target[]
  /** The name of the container with an address on a shared network; `null`: nobody's. */
  reverse(address: string): string | null
  readonly internal: boolean
  readonly servers: readonly string[]
  /** Machines that may know more. */
  readonly peers: readonly ZonePeer[]
}

/** Who answers to a name: of what is called so itself, and where. */
export type Target = Pick<ZoneContainer, 'name' | 'address' | 'address6' | 'healthy' | 'ports'>

/** This host, as its containers may call it. */
export const HOST_NAME = 'host.pak.internal'

/** The scope of a source address, or of `askerOf`; `null` when it is no container's, which must get no answer at all. */
export type ScopeOf = (source: string) => Scope | null

/** Index a zone: names by network, and askers by address. */
export function indexZone(zone: Zone): ScopeOf {
  const networks = zone.networks.map((network) => ({ network, index: indexNetwork(network) }))
  const scopes = new Map<string, Scope>()
  for (const { network, index } of networks)
    for (const { gateway } of network.peers ?? []) scopes.set(gateway, peerScope(index))
  for (const memberships of byContainer(networks)) {
    const scope = scopeOf(memberships)
    for (const { container, network } of memberships) {
      if (hasHost(network)) scopes.set(container.address, scope)
      scopes.set(keyOf(network, container), scope)
    }
  }
  return (source) => scopes.get(source) ?? null
}

interface Membership {
  readonly container: ZoneContainer
  readonly network: ZoneNetwork
  readonly index: NetworkIndex
}

/** Two projects may have containers of one name, also on one network. */
function byContainer(
  networks: readonly { readonly network: ZoneNetwork; readonly index: NetworkIndex }[],
): Iterable<readonly Membership[]> {
  const groups = new Map<string, Membership[]>()
  for (const { network, index } of networks)
    for (const container of network.containers) {
      const key = keyOf(network, container)
      groups.set(key, [...(groups.get(key) ?? []), { container, network, index }])
    }
  return groups.values()
}

/** What stands for a container where the address that it asks from says nothing. No address has a slash. */
export const askerOf = (project: string, container: string): string => `${project}/${container}`

const hasHost = ({ gateways }: ZoneNetwork): boolean => gateways?.length !== 0

const keyOf = ({ id }: ZoneNetwork, { project, name }: ZoneContainer): string =>
  askerOf(project ?? id.split('/')[0] ?? '', name)

function scopeOf(memberships: readonly Membership[]): Scope {
  const indexes = memberships.map(({ index }) => index)
  const here = memberships.filter(({ network }) => hasHost(network))
  const outer = here.find(({ network }) => !network.internal) ?? here[0]
  const [gateway, gateway6] = outer?.network.gateways ?? []
  const behind = (name: string) => indexes.flatMap((index) => index.names.get(name) ?? [])
  return {
    lookup(name) {
      const found = behind(name)
      if (found.length > 0) return healthyFirst(found)
      if (name === HOST_NAME && gateway !== undefined) return [gateway]
      return indexes.some((index) => index.declared.has(name)) ? [] : null
    },
    lookup6(name) {
      if (name === HOST_NAME && behind(name).length === 0)
        return gateway6 === undefined ? [] : [gateway6]
      return healthyFirst(
        behind(name).flatMap(({ address6, healthy }) =>
          address6 === undefined ? [] : { address: address6, healthy },
        ),
      )
    },
    doubtful: (name) => isDoubtful(behind(name)),
    targets: (name) => fit(behind(name)),
    reverse(address) {
      const found = indexes.map((index) => index.addresses.get(address)).find((name) => name)
      if (found !== undefined) return found
      const isGateway = here.some(({ network }) => network.gateways?.includes(address))
      return isGateway ? HOST_NAME : null
    },
    internal: memberships.every(({ network }) => network.internal),
    servers: memberships[0]?.container.servers ?? [],
    peers: memberships.flatMap(({ network }) => network.peers ?? []),
  }
}

/**
 * What a peer is told: what this machine has itself of the network, and nothing else. It asks nobody
 * on its behalf, so that no question goes in circles.
 */
function peerScope({ names, addresses }: NetworkIndex): Scope {
  const behind = (name: string) => names.get(name) ?? []
  return {
    lookup: (name) => (names.has(name) ? healthyFirst(behind(name)) : null),
    lookup6: () => [],
    doubtful: (name) => isDoubtful(behind(name)),
    targets: (name) => fit(behind(name)),
    reverse: (address) => addresses.get(address) ?? null,
    internal: true,
    servers: [],
    peers: [],
  }
}

interface NetworkIndex {
  readonly names: ReadonlyMap<string, readonly Target[]>
  readonly addresses: ReadonlyMap<string, string>
  readonly declared: ReadonlySet<string>
}

function indexNetwork({ containers, services, names: declared }: ZoneNetwork): NetworkIndex {
  const names = new Map<string, Target[]>()
  const answering = [...services.map((service) => ({ healthy: true, ...service })), ...containers]
  for (const each of answering)
    for (const name of new Set(each.names.map((text) => text.toLowerCase()))) {
      const found = names.get(name)
      if (found === undefined) names.set(name, [each])
      else found.push(each)
    }
  return {
    names,
    addresses: new Map([
      ...answering.map(({ address, name }) => [address, name] as const),
      ...answering.flatMap(({ address6, name }) =>
        address6 === undefined ? [] : [[address6, name] as const],
      ),
    ]),
    declared: new Set(declared.map((name) => name.toLowerCase())),
  }
}

const healthyFirst = (
  targets: readonly Pick<Target, 'address' | 'healthy'>[],
): readonly string[] => [...new Set(fit(targets).map(({ address }) => address))]

const isDoubtful = (targets: readonly Target[]): boolean =>
  targets.length > 0 && !targets.some(({ healthy }) => healthy)

function fit<T extends Pick<Target, 'healthy'>>(targets: readonly T[]): readonly T[] {
  const healthy = targets.filter((target) => target.healthy)
  return healthy.length > 0 ? healthy : targets
}
