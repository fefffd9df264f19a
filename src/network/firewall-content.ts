import { ANY_HOST } from '../model/port.ts'
import { macAddress } from './bridge.ts'
import type { Identity } from './firewall-antispoof.ts'
import {
  balancedElement,
  type FirewallElement,
  type FirewallNetwork,
  networkElements,
  type Publication,
  publicationElement,
  type ServiceAddress,
  serviceElements,
} from './firewall-elements.ts'
import type { Lift } from './firewall-lift.ts'
import type { OtherChain } from './firewall-others.ts'
import { type Spread, spreadOf } from './firewall-spread.ts'
import type { PolicyRequest } from './policy-table.ts'

export interface FirewallRequest {
  readonly table: string
  readonly project: string
  /** Where pak's name server listens on this host, UDP and TCP. */
  readonly dnsPort: number
  /** All of the project's networks, published ports and services with an address: what is not here goes. */
  readonly networks: readonly FirewallNetwork[]
  /** Networks of others that its containers may be on. */
  readonly joined?: readonly FirewallNetwork[]
  /** Those of one host port share its connections. */
  readonly published: readonly Publication[]
  readonly services: readonly ServiceAddress[]
  /** `null`, or without a word: none. */
  readonly policies?: PolicyRequest | null
  /** Bridges of networks whose containers have policies: nothing passes from port to port there. */
  readonly guarded?: readonly string[]
  /** Of all containers there, whosever they are; those that the table knows besides stay. */
  readonly identities?: readonly Identity[]
  /** What other projects want of networks that plugins make: see `isShared`. Without a word: nothing. */
  readonly heirs?: readonly FirewallElement[]
  /** Whether services have, or had, addresses: only then the table of family `bridge` is looked at. */
  readonly lifts: boolean
  /** Chains of other programs that may drop what pak lets through. */
  readonly others: readonly OtherChain[]
}

export interface FirewallContent {
  readonly elements: readonly FirewallElement[]
  readonly spreads: readonly Spread[]
  readonly lifts: readonly Lift[]
}

/** What the table shall hold of the project. */
export function contentOf(request: FirewallRequest & { readonly kept?: boolean }): FirewallContent {
  const { project, networks, services, kept = true } = request
  const ports = publicationContent(project, request.published)
  const addresses = services.map((service) => {
    const { bridge, address, affinity } = service
    const targets = service.targets.map((target) => ({ address: target, port: null }))
    const place = [bridge, address]
    const spread = spreadOf({ place, project, protocol: null, affinity, targets })
    return { spread, elements: serviceElements(project, service, { chain: spread.chain, kept }) }
  })
  return {
    elements: [
      ...networks.flatMap((network) => networkElements(project, network)),
      ...ports.elements,
      ...addresses.flatMap(({ elements }) => elements),
    ],
    spreads: [...ports.spreads, ...addresses.map(({ spread }) => spread)],
    lifts: kept ? liftsFor(request) : [],
  }
}

function publicationContent(
  project: string,
  published: readonly Publication[],
): Pick<FirewallContent, 'elements' | 'spreads'> {
  const places = new Map<string, Publication[]>()
  for (const port of published) {
    const place = `${port.protocol} ${port.published} ${port.hostIp}`
    places.set(place, [...(places.get(place) ?? []), port])
  }
  const spreads: Spread[] = []
  const elements = [...places.values()].flatMap((ports) => {
    const [port] = ports
    if (port === undefined) return []
    if (ports.length === 1) return [publicationElement(project, port)]
    const { protocol, affinity, hostIp } = port
    const place = [protocol, String(port.published), ...(hostIp === ANY_HOST ? [] : [hostIp])]
    const targets = ports.map(({ address, target }) => ({ address, port: target }))
    const spread = spreadOf({ place, project, protocol, affinity, targets })
    spreads.push(spread)
    return [balancedElement(project, port, spread.chain)]
  })
  return { elements, spreads }
}

function liftsFor(request: FirewallRequest): readonly Lift[] {
  const { project, networks, joined = [], services, guarded = [] } = request
  return [...networks, ...joined].flatMap((network) => {
    const { bridge, gateway, tunnel } = network
    const here = services.filter((service) => service.bridge === bridge)
    if (here.length === 0 && !guarded.includes(bridge)) return []
    const lift = (block: string): Lift => ({
      owner: project,
      subnet: block,
      mac: macAddress(gateway),
    })
    if (tunnel === undefined && !guarded.includes(bridge)) {
      const replicas = here.flatMap(({ targets, former = [] }) => [...targets, ...former])
      return [...new Set(replicas)].map((address) => ({ ...lift(address), ofReplica: true }))
    }
    const ofPeers = tunnel === undefined ? [] : [{ ...lift(tunnel.range), ofPeers: true as const }]
    const lifted = blocksOf(network, guarded).map((block) => ({
      ...lift(block),
      ...(guarded.includes(bridge) && !block.includes(':') ? { isBound: true as const } : {}),
    }))
    return [...lifted, ...ofPeers]
  })
}

const blocksOf = (
  { subnet, subnet6, bridge }: FirewallNetwork,
  guarded: readonly string[],
): readonly string[] =>
  subnet6 === undefined || !guarded.includes(bridge) ? [subnet] : [subnet, subnet6]
