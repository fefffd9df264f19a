import { macAddress } from './bridge.ts'
import {
  elementKey,
  type FirewallElement,
  type FirewallNetwork,
  hostPortOf,
  isShared,
  networkElements,
  networkOf,
  ownerOf,
  type Publication,
  placeOf,
  publicationOf,
  type ServiceAddress,
  serviceElements,
} from './firewall-elements.ts'
import type { FirewallFacts } from './firewall-observe.ts'
import { targetsOf } from './firewall-spread.ts'

export interface ProjectFirewall {
  /** Networks of which every element is there as its record says. Sorted. */
  readonly networks: readonly string[]
  readonly published: readonly Omit<Publication, 'container'>[]
  /** With no targets where something of it is missing or altered. */
  readonly services: readonly ServiceAddress[]
}

/**
 * One project's part. A network with a missing or altered element is left out, and so is everything
 * when the rules are not whole or redirect names elsewhere: what cannot work is not there. Elements
 * of a network without a record are told by name, so that they are found and removed.
 */
export function projectFirewall(
  facts: FirewallFacts,
  expected: {
    readonly project: string
    readonly dnsPort: number
    readonly networks: readonly FirewallNetwork[]
    /** Of others. */
    readonly joined?: readonly FirewallNetwork[]
  },
): ProjectFirewall {
  if (facts.dnsPort !== expected.dnsPort) return { networks: [], published: [], services: [] }
  const own = facts.elements.filter((element) => ownerOf(element) === expected.project)
  const there = new Set(own.map(elementKey))
  const places = new Set(facts.elements.filter(isShared).map(placeOf))
  const held = (wanted: FirewallElement) =>
    there.has(elementKey(wanted)) || (isShared(wanted) && places.has(placeOf(wanted)))
  const recorded = new Set(expected.networks.map(({ name }) => name))
  const whole = expected.networks
    .filter((network) => {
      const wanted = networkElements(expected.project, network)
      const extra = own.filter((element) => networkOf(element) === network.name)
      const keys = new Set(wanted.map(elementKey))
      return wanted.every(held) && extra.every((element) => keys.has(elementKey(element)))
    })
    .map(({ name }) => name)
  const strays = own.flatMap((element) => networkOf(element) ?? []).filter((n) => !recorded.has(n))
  return {
    networks: [...new Set([...whole, ...strays])].sort(),
    published: own.flatMap((element) => publicationOf(element) ?? shared(facts, element)),
    services: own.flatMap((element) => serviceOf(facts, held, { element, expected })),
  }
}

const spreadAt = ({ spreads }: FirewallFacts, { value, comment }: FirewallElement) =>
  spreads.find(({ chain, owner }) => value === `goto ${chain}` && owner === comment) ?? null

/** The containers that share a host port. */
function shared(
  facts: FirewallFacts,
  element: FirewallElement,
): readonly Omit<Publication, 'container'>[] {
  const [port, spread] = [hostPortOf(element), spreadAt(facts, element)]
  if (port === null || spread === null || spread.protocol !== port.protocol) return []
  return targetsOf(spread).map((text) => {
    const [address = '', target = ''] = text.split(' . ')
    return { ...port, address, target: Number(target), affinity: spread.affinity }
  })
}

function serviceOf(
  facts: FirewallFacts,
  held: (wanted: FirewallElement) => boolean,
  at: {
    readonly element: FirewallElement
    readonly expected: {
      readonly project: string
      readonly networks: readonly FirewallNetwork[]
      readonly joined?: readonly FirewallNetwork[]
    }
  },
): readonly ServiceAddress[] {
  const { element, expected } = at
  if (element.set !== 'services' && element.set !== 'services6') return []
  const six = element.set === 'services6'
  const [bridge = '', address = ''] = element.key.split(' . ')
  const spread = spreadAt(facts, element)
  const targets = spread === null || spread.protocol !== null ? [] : targetsOf(spread)
  const found: ServiceAddress = { bridge, address, targets, affinity: spread?.affinity ?? 'none' }
  const { comment } = element
  const kept = held({ set: six ? 'kept6' : 'kept', key: address, value: null, comment })
  const chain = spread?.chain ?? ''
  const known = [...expected.networks, ...(expected.joined ?? [])]
  const network = known.find((one) => one.bridge === bridge)
  const lifted = network !== undefined && isLifted(facts, network, targets)
  const whole =
    kept === lifted && serviceElements(expected.project, found, { chain, kept }).every(held)
  return [whole ? found : { ...found, targets: [] }]
}

/** All of the network, or each of the replicas. */
function isLifted(
  { lifts }: FirewallFacts,
  { subnet, subnet6, gateway }: FirewallNetwork,
  targets: readonly string[],
): boolean {
  const all = targets[0]?.includes(':') ? (subnet6 ?? '') : subnet
  const blocks = new Set(
    (lifts ?? []).flatMap((lift) => (lift.mac === macAddress(gateway) ? lift.subnet : [])),
  )
  return blocks.has(all) || (targets.length > 0 && targets.every((each) => blocks.has(each)))
}
