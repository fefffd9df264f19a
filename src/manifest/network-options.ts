import type { Attachment, Network } from '../model/desired.ts'
import {
  type Block6,
  formatBlock6,
  formatIpv6,
  meet6,
  parseBlock6,
  parseIpv6,
} from '../model/ipv6.ts'
import {
  attempt,
  type Context,
  complain,
  pairsOf,
  Refusal,
  sortedRecord,
  take,
  takeBoolean,
} from './context.ts'
import { addressIn, parseSubnet } from './ipv4.ts'
import { LAN_OPTIONS } from './lan.ts'
import { parseAddress, parseInterfaceName, parseMac, parseName } from './names.ts'
import { OVERLAY_OPTIONS } from './overlay.ts'
import { shown } from './problem.ts'
import { parseInteger } from './quantities.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

type NetworkOptions = Pick<
  Network,
  'ipv6' | 'ipRange' | 'auxAddresses' | 'mtu' | 'bridge' | 'isolated'
>

/** What of a network is there only where it is declared. `subnet`: its own of IPv4. */
export function networkOptions(
  context: Context,
  field: Field,
  subnet: string | null,
): NetworkOptions {
  const ipv6 = normalizeIpv6(context, field)
  const taken = { subnet, subnet6: ipv6?.subnet ?? null }
  const ipRange = rangeOf(context, child(ipamEntry(field, 4), 'ip_range'), subnet)
  const auxAddresses = auxOf(context, field, taken)
  return {
    ...(ipv6 === null ? {} : { ipv6 }),
    ...(ipRange === null ? {} : { ipRange }),
    ...(Object.keys(auxAddresses).length === 0 ? {} : { auxAddresses }),
    ...driverOptions(context, child(field, 'driver_opts'), ipv6 === null ? 576 : 1280),
  }
}

/** The entry of `ipam.config` for a family; one that says nothing of a subnet is for IPv4. */
export function ipamEntry(field: Field, family: 4 | 6): Field | null {
  const entries = itemsOf(child(child(field, 'ipam'), 'config'))
  return entries.find((entry) => familyOf(entry) === family) ?? null
}

function familyOf(entry: Field): 4 | 6 {
  const written = ['subnet', 'gateway', 'ip_range'].map((key) => textOf(child(entry, key)) ?? '')
  return written.some((text) => text.includes(':')) ? 6 : 4
}

function normalizeIpv6(context: Context, field: Field): NonNullable<Network['ipv6']> | null {
  const entries = itemsOf(child(child(field, 'ipam'), 'config'))
  for (const family of [4, 6] as const) {
    const twice = entries.filter((entry) => familyOf(entry) === family)[1]
    if (twice !== undefined)
      complain(context, twice, new Refusal(`a network has one subnet of IPv${family}`))
  }
  const entry = ipamEntry(field, 6)
  const enabled = takeBoolean(child(field, 'enable_ipv6'), false)
  if (entry !== null && !enabled) {
    complain(context, entry, new Refusal('IPv6 is off', 'say `enable_ipv6: true`'))
    return null
  }
  if (!enabled) return null
  const range = child(entry, 'ip_range')
  if (range !== null)
    complain(
      context,
      range,
      new Refusal('an `ip_range` of IPv6 has no use: addresses follow from those of IPv4'),
    )
  const block = take<Block6 | null>(context, child(entry, 'subnet'), {
    parse: parseSubnet6,
    fallback: null,
  })
  const gateway = take<string | null>(context, child(entry, 'gateway'), {
    parse: (text) => parseGateway6(text, block),
    fallback: null,
  })
  return { subnet: block === null ? null : formatBlock6(block), gateway }
}

/** Shorter ones are no network's; in longer ones there is no room beside the IPv4 addresses. */
const [SHORTEST, LONGEST] = [8, 120]

function parseSubnet6(text: string): Block6 {
  const block = parseBlock6(text)
  if (block === null || !text.includes('/'))
    throw new Refusal(`expected a subnet such as \`fd00:1::/64\`, got ${shown(text)}`)
  const { prefix } = block
  if (prefix < SHORTEST || prefix > LONGEST)
    throw new Refusal(`a subnet's prefix is ${SHORTEST} to ${LONGEST}, got ${prefix}`)
  if (parseIpv6(text.split('/')[0] ?? '') !== block.first)
    throw new Refusal(`${shown(text)} has host bits set`, `say \`${formatBlock6(block)}\``)
  for (const { of, range } of UNUSABLE)
    if (meet6(range, block)) throw new Refusal(`${formatBlock6(block)} is ${of}`)
  return block
}

const UNUSABLE = [
  ['::/8', "the kernel's own"],
  ['fe80::/10', 'link-local: every interface has it'],
  ['ff00::/8', 'multicast'],
].flatMap(([text = '', of = '']) => {
  const range = parseBlock6(text)
  return range === null ? [] : { of, range }
})

function parseGateway6(text: string, block: Block6 | null): string {
  const at = parseIpv6(text)
  if (at === null) throw new Refusal(`expected an IPv6 address, got ${shown(text)}`)
  if (block === null) throw new Refusal('a `gateway` needs a `subnet`')
  if (!inBlock6(at, block))
    throw new Refusal(`${formatIpv6(at)} is no host's address in ${formatBlock6(block)}`)
  return formatIpv6(at)
}

const inBlock6 = (at: bigint, { first, last }: Block6): boolean => at > first && at <= last

/** Whether a host of the subnet can have the address. */
export function addressIn6(address: string, subnet: string): boolean {
  const [at, block] = [parseIpv6(address), parseBlock6(subnet)]
  return at !== null && block !== null && inBlock6(at, block)
}

function rangeOf(context: Context, field: Field | null, subnet: string | null): string | null {
  const parse = (text: string): string => {
    const [, bits = ''] = text.split('/')
    const range = parseSubnet(text, { longest: 32 })
    if (subnet === null) throw new Refusal('an `ip_range` needs a `subnet`')
    const { first, last, cidr } = parseSubnet(subnet)
    if (range.first < first || range.last > last)
      throw new Refusal(`${shown(text)} is not within ${cidr}`)
    if (bits === '') throw new Refusal(`expected a range such as \`10.77.1.128/25\``)
    return range.cidr
  }
  return take<string | null>(context, field, { parse, fallback: null })
}

function auxOf(
  context: Context,
  field: Field,
  { subnet, subnet6 }: { readonly subnet: string | null; readonly subnet6: string | null },
): Readonly<Record<string, string>> {
  const found = new Map<string, string>()
  const entries = itemsOf(child(child(field, 'ipam'), 'config'))
  const pairs = entries.flatMap((entry) => pairsOf(child(entry, 'aux_addresses')))
  for (const { name, value, field: at } of pairs) {
    const make = () => {
      const address = parseAddress(value ?? '')
      const six = parseIpv6(address)
      const inside =
        six === null
          ? subnet !== null && addressIn(address, parseSubnet(subnet))
          : subnet6 !== null && addressIn6(address, subnet6)
      if (!inside) throw new Refusal(`${address} is not in a \`subnet\` of the network`)
      if (found.has(name)) throw new Refusal(`\`${name}\` is there twice`)
      found.set(parseName(name), six === null ? address : formatIpv6(six))
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  return sortedRecord(found)
}

/** pak's words and Docker's for them. */
const MTU = ['mtu', 'com.docker.network.driver.mtu']
const BRIDGE = ['bridge', 'com.docker.network.bridge.name']
const ICC = ['com.docker.network.bridge.enable_icc']
const ISOLATED = ['isolated']
/** Read, or refused, where the rest of the driver is. */
const DRIVERS_OWN = [...OVERLAY_OPTIONS, ...LAN_OPTIONS]

/** `leastMtu`: 1280 where there is IPv6 (RFC 8200, section 5), else 576, the least of use. */
function driverOptions(
  context: Context,
  field: Field | null,
  leastMtu: number,
): Pick<Network, 'mtu' | 'bridge' | 'isolated'> {
  const found: { mtu?: number; bridge?: string; isolated?: boolean } = {}
  for (const { name, value, field: at } of pairsOf(field)) {
    const text = value ?? ''
    const make = () => {
      if (MTU.includes(name))
        found.mtu = parseInteger({ what: 'mtu', least: leastMtu, most: 65_535 })(text)
      else if (BRIDGE.includes(name)) found.bridge = parseInterfaceName(text)
      else if (ISOLATED.includes(name)) found.isolated = parseFlag(text)
      else if (ICC.includes(name)) found.isolated = !parseFlag(text)
      else if (DRIVERS_OWN.includes(name)) return
      else
        throw new Refusal(
          `unknown driver option ${shown(name)}`,
          `one of ${[...MTU, ...BRIDGE, ...ISOLATED, ...ICC, ...DRIVERS_OWN].map((word) => `\`${word}\``).join(', ')}`,
        )
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  const { isolated = false, ...rest } = found
  return { ...rest, ...(isolated ? { isolated: true } : {}) }
}

function parseFlag(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  throw new Refusal(`expected \`true\` or \`false\`, got ${shown(text)}`)
}

type EndOptions = Pick<Attachment, 'ipv6' | 'mac' | 'interfaceName' | 'gwPriority'>

/** What of a service's place on a network is there only where it is declared. */
export function endOptions(context: Context, options: Field): EndOptions {
  const text = (key: string, parse: (text: string) => string) =>
    take<string | null>(context, child(options, key), { parse, fallback: null })
  const ipv6 = text('ipv6_address', parseIpv6Text)
  const mac = text('mac_address', parseMac)
  const interfaceName = text('interface_name', parseInterfaceName)
  const gwPriority = take(context, child(options, 'gw_priority'), {
    parse: parsePriority,
    fallback: 0,
  })
  return {
    ...(ipv6 === null ? {} : { ipv6 }),
    ...(mac === null ? {} : { mac }),
    ...(interfaceName === null ? {} : { interfaceName }),
    ...(gwPriority === 0 ? {} : { gwPriority }),
  }
}

function parsePriority(text: string): number {
  if (!/^-?[0-9]{1,9}$/.test(text)) throw new Refusal(`expected a whole number, got ${shown(text)}`)
  return Number(text) + 0
}

function parseIpv6Text(text: string): string {
  const at = parseIpv6(text)
  if (at === null) throw new Refusal(`expected an IPv6 address, got ${shown(text)}`)
  return formatIpv6(at)
}
