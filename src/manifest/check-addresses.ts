import type { Network } from '../model/desired.ts'
import { type Check, namedPart, partOf, reportAt, sharers } from './check.ts'
import {
  addressIn,
  firstAddress,
  parseSubnet,
  roomIn,
  type Subnet,
  subnetsOverlap,
} from './ipv4.ts'
import type { Declared } from './normalize.ts'
import { child, type Field } from './tree.ts'

/** Declared subnets do not overlap, and every fixed address has its place in one. */
export function checkAddresses(check: Check): void {
  const networks = check.draft.networks.filter(({ value }) => value.subnet !== null)
  checkOverlaps(check, networks)
  checkFixedAddresses(check, new Map(networks.map(({ value }) => [value.name, value])))
  for (const network of networks) checkRoom(check, network)
}

/** Not too many for the addresses that the network can give; what other projects hold is not known here. */
function checkRoom({ enabled, problems }: Check, { value, field }: Declared<Network>): void {
  const { name, subnet: text, ipRange, gateway, auxAddresses = {}, cni } = value
  if (text === null || cni !== undefined) return
  const places = enabled.flatMap(({ service }) =>
    service.container.networks.flatMap(({ network, ipv4 }) =>
      network === name ? [{ ipv4, count: service.replicas }] : [],
    ),
  )
  const fixed = places.flatMap(({ ipv4 }) => ipv4 ?? [])
  const needed = places.reduce((sum, { ipv4, count }) => sum + (ipv4 === null ? count : 0), 0)
  const subnet = parseSubnet(text)
  const range = ipRange === undefined ? subnet : parseSubnet(ipRange, { longest: 32 })
  const taken = [gateway ?? firstAddress(subnet), ...Object.values(auxAddresses), ...fixed]
  const room = roomIn(subnet, range, taken)
  if (needed > room)
    reportAt(
      problems,
      subnetField(field),
      `${range.cidr} has addresses for ${room} of ${needed} containers`,
    )
}

function subnetOf({ value }: Declared<Network>): Subnet {
  return parseSubnet(value.subnet ?? '')
}

/** Sorted by their first address, only neighbours can be the first to overlap. */
function checkOverlaps({ problems }: Check, networks: readonly Declared<Network>[]): void {
  const sorted = networks
    .map((network) => ({ network, subnet: subnetOf(network) }))
    .sort((a, b) => a.subnet.first - b.subnet.first || b.subnet.last - a.subnet.last)
  let widest = sorted[0]
  for (const next of sorted.slice(1)) {
    if (widest !== undefined && subnetsOverlap(widest.subnet, next.subnet)) {
      const at = subnetField(next.network.field)
      reportAt(
        problems,
        at,
        `${next.subnet.cidr} overlaps ${widest.subnet.cidr} of network \`${widest.network.value.name}\``,
      )
    }
    if (widest === undefined || next.subnet.last > widest.subnet.last) widest = next
  }
}

function subnetField(field: Field): Field {
  return child(field, 'subnet') ?? partOf(field, 'ipam')
}

function checkFixedAddresses(
  { draft, enabled, problems }: Check,
  networks: ReadonlyMap<string, Network>,
): void {
  const taken = new Map<string, string>()
  const declared = new Set(draft.networks.map(({ value }) => value.name))
  // What addresses a network of others, or of plugins, has is not known here.
  const unknown = new Set([
    ...draft.externals.map(({ value }) => value.name),
    ...draft.networks.flatMap(({ value }) => (value.cni === undefined ? [] : value.name)),
  ])
  for (const { service, field } of enabled) {
    const several = sharers(service)
    for (const { network, ipv4 } of service.container.networks) {
      if (ipv4 === null) continue
      const at = partOf(namedPart(field, 'networks', network), 'ipv4_address')
      const key = `${network} ${ipv4}`
      const reason =
        (unknown.has(network) ? null : refusal(networks.get(network) ?? null, ipv4)) ??
        (several === null ? null : `${several} cannot share one address`) ??
        (taken.has(key) ? `service \`${taken.get(key)}\` has this address already` : null)
      if (
        reason !== null &&
        (declared.has(network) || unknown.has(network) || network === 'default')
      )
        reportAt(problems, at, reason)
      taken.set(key, service.name)
    }
  }
}

function refusal(network: Network | null, ipv4: string): string | null {
  if (network?.subnet == null) return 'a fixed address needs a network with a `subnet`'
  const subnet = parseSubnet(network.subnet)
  if (!addressIn(ipv4, subnet)) return `${ipv4} is no host's address in ${subnet.cidr}`
  const { overlay, ipRange } = network
  if (overlay !== undefined && ipRange !== undefined) {
    const range = parseSubnet(ipRange, { longest: 32 })
    if (!addressIn(ipv4, { ...range, last: range.last + 1 }))
      return `${ipv4} is not within ${ipRange}, which is what \`${overlay.host}\` has of the network`
  }
  return ipv4 === (network.gateway ?? firstAddress(subnet))
    ? `${ipv4} is the gateway of the network`
    : null
}
