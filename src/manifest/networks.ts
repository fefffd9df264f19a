import type { Attachment, NamespaceMode, Network, NetworkMode } from '../model/desired.ts'
import { cniOf } from './cni.ts'
import {
  attempt,
  type Context,
  compare,
  pairsOf,
  Refusal,
  sortedRecord,
  sortedSet,
  take,
  takeBoolean,
  takeEach,
} from './context.ts'
import { normalizeLabels } from './environment.ts'
import { addressIn, parseSubnet, type Subnet } from './ipv4.ts'
import { lanOf } from './lan.ts'
import { agreed } from './limits.ts'
import { parseAddress, parseDomain, parseIpv4, parseName } from './names.ts'
import { endOptions, ipamEntry, networkOptions } from './network-options.ts'
import { overlayOf } from './overlay.ts'
import { shown } from './problem.ts'
import { child, entriesOf, type Field, itemsOf, textOf } from './tree.ts'

export const DEFAULT_NETWORK = 'default'

/** One network as it is declared. */
export function normalizeNetwork(context: Context, name: string, field: Field): Network {
  const config = ipamEntry(field, 4)
  const subnetField = child(field, 'subnet') ?? child(config, 'subnet')
  const subnet = agreed(context, [child(field, 'subnet'), child(config, 'subnet')], canonicalSubnet)
  const gatewayField = child(field, 'gateway') ?? child(config, 'gateway')
  const written = agreed(context, [child(field, 'gateway'), child(config, 'gateway')], parseIpv4)
  const gateway =
    written === null || gatewayField === null || (subnet === null && subnetField !== null)
      ? null
      : attempt<string | null>(context, gatewayField, {
          make: () => checkedGateway(written, subnet),
          fallback: null,
        })
  const network: Network = {
    name,
    driver: 'bridge',
    internal: takeBoolean(child(field, 'internal'), false),
    subnet,
    gateway,
    labels: normalizeLabels(context, child(field, 'labels')),
    ...(takeBoolean(child(field, 'attachable'), false) ? { attachable: true } : {}),
    ...networkOptions(context, field, subnet),
  }
  return {
    ...network,
    ...overlayOf(context, field, { name, subnet }),
    ...lanOf(context, field, network),
    ...cniOf(context, field),
  }
}

const canonicalSubnet = (text: string) => parseSubnet(text).cidr

function checkedGateway(gateway: string, subnet: string | null): string {
  if (subnet === null) throw new Refusal('a `gateway` needs a `subnet`')
  return checkedAddress(gateway, parseSubnet(subnet))
}

/** An address that a host of the subnet can have. */
export function checkedAddress(address: string, subnet: Subnet): string {
  if (!addressIn(address, subnet))
    throw new Refusal(`${address} is no host's address in ${subnet.cidr}`)
  return address
}

/** `network_mode`; absent means the bridge networks that `networks` names. */
export function normalizeNetworkMode(context: Context, field: Field | null): NetworkMode {
  return take<NetworkMode>(context, field, {
    parse: parseNetworkMode,
    fallback: { kind: 'bridge' },
  })
}

function parseNetworkMode(text: string): NetworkMode {
  if (text === 'none' || text === 'host') return { kind: text }
  if (text.startsWith('service:')) return { kind: 'service', service: parseName(text.slice(8)) }
  if (text === 'bridge')
    throw new Refusal('`network_mode: bridge` is what pak does without it', 'leave it out')
  if (text.startsWith('container:'))
    return { kind: 'container', container: parseName(text.slice(10)) }
  throw new Refusal(
    `expected \`none\`, \`host\`, \`service:NAME\` or \`container:NAME\`, got ${shown(text)}`,
  )
}

/** `pid` and `ipc`: `null` is a namespace of its own. */
export function normalizeNamespace(
  context: Context,
  field: Field | null,
  own: readonly string[],
): NamespaceMode | null {
  const parse = (text: string): NamespaceMode | null => {
    if (own.includes(text)) return null
    if (text === 'host') return { kind: 'host' }
    if (text.startsWith('service:')) return { kind: 'service', service: parseName(text.slice(8)) }
    const known = [...own, 'host', 'service:NAME'].map((word) => `\`${word}\``)
    throw new Refusal(`expected one of ${known.join(', ')}, got ${shown(text)}`)
  }
  return take<NamespaceMode | null>(context, field, { parse, fallback: null })
}

/** `networks` of a service, list or map, sorted; the default network when it names none. */
export function normalizeAttachments(context: Context, field: Field | null): readonly Attachment[] {
  if (field === null) return [{ network: DEFAULT_NETWORK, aliases: [], ipv4: null }]
  const attachments = new Map<string, Attachment>()
  for (const item of itemsOf(field)) {
    const make = () => {
      const network = parseName(textOf(item) ?? '')
      if (attachments.has(network)) throw new Refusal(`network \`${network}\` is there twice`)
      attachments.set(network, { network, aliases: [], ipv4: null })
    }
    attempt<void>(context, item, { make, fallback: undefined })
  }
  for (const [network, options] of entriesOf(field)) {
    const aliases = sortedSet(takeEach(context, child(options, 'aliases'), parseName))
    const address = { parse: parseIpv4, fallback: null }
    const ipv4 = take<string | null>(context, child(options, 'ipv4_address'), address)
    attachments.set(network, { network, aliases, ipv4, ...endOptions(context, options) })
  }
  return [...attachments.values()].sort((a, b) => compare(a.network, b.network))
}

/** `NAME=ADDRESS`, `NAME:ADDRESS` or a map; an address may be `host-gateway`. */
export function normalizeExtraHosts(
  context: Context,
  field: Field | null,
): Readonly<Record<string, string>> {
  const hosts = new Map<string, string>()
  for (const { name, value, field: at } of pairsOf(field, /[=:]/)) {
    const make = () => {
      const host = parseDomain(name)
      if (value === null) throw new Refusal(`expected \`NAME=ADDRESS\`, got ${shown(name)}`)
      const bare = value.replace(/^\[(.*)\]$/, '$1')
      const address = bare === 'host-gateway' ? bare : parseAddress(bare)
      if (hosts.has(host) && hosts.get(host) !== address)
        throw new Refusal(`host \`${host}\` is there twice with different addresses`)
      hosts.set(host, address)
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  return sortedRecord(hosts)
}
