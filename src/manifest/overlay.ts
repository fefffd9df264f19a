import { createHash } from 'node:crypto'
import type { Network, Overlay, OverlayPeer } from '../model/desired.ts'
import { attempt, type Context, complain, pairsOf, Refusal, take, takeBoolean } from './context.ts'
import { firstAddress, parseSubnet, partOf, type Subnet } from './ipv4.ts'
import { parseIpv4 } from './names.ts'
import { shown } from './problem.ts'
import { parseInteger } from './quantities.ts'
import { child, entriesOf, type Field, itemsOf, textOf } from './tree.ts'

/** Words of `driver_opts` that only a `vxlan` has. */
export const OVERLAY_OPTIONS: readonly string[] = ['vni', 'port', 'wireguard_port']

/** IANA's for VXLAN. */
const PORT = 4789
/** What everybody takes for WireGuard. */
const WIREGUARD_PORT = 51_820
/** So that a network of few grows to four without being made anew. */
const LEAST_PARTS = 4
/** A part has room for a gateway and a few containers at least. */
const LEAST_ADDRESSES = 8

type OverlayPart = Partial<Pick<Network, 'driver' | 'gateway' | 'ipRange' | 'overlay'>>

/** What a network is because it spans machines; nothing for one that does not. */
export function overlayOf(
  context: Context,
  field: Field,
  { name, subnet }: { readonly name: string; readonly subnet: string | null },
): OverlayPart {
  const driver = textOf(child(field, 'driver')) ?? 'bridge'
  if (driver !== 'vxlan') {
    refuseOutside(context, field, driver)
    return {}
  }
  refuseInside(context, field)
  const at = child(field, 'peers')
  if (at === null || subnet === null) {
    const lacking = at === null ? 'its `peers`' : 'a `subnet`, the same on every machine'
    complain(context, child(field, 'driver') ?? field, new Refusal(`a \`vxlan\` needs ${lacking}`))
    return {}
  }
  const encrypted = takeBoolean(child(field, 'encrypted'), false)
  const peers = peersOf(context, at, { subnet, encrypted })
  const own = attempt<OverlayPeer | null>(context, at, {
    make: () => ownPeer(peers, context.addresses()),
    fallback: null,
  })
  if (own === null) return {}
  const { vni = vniOf(context.project, name), port = PORT, ...options } = optionsOf(context, field)
  const { wireguardPort = WIREGUARD_PORT } = options
  const overlay: Overlay = {
    ...{ vni, port, encrypted, host: own.name, peers },
    ...(encrypted ? { wireguardPort } : {}),
  }
  return { driver: 'vxlan', gateway: own.gateway, ipRange: own.range, overlay }
}

function refuseOutside(context: Context, field: Field, driver: string): void {
  const hint = 'it goes with `driver: vxlan`'
  for (const key of ['peers', 'encrypted']) {
    const part = child(field, key)
    if (part !== null) complain(context, part, new Refusal(`a ${driver} has no \`${key}\``, hint))
  }
  for (const { name, field: at } of pairsOf(child(field, 'driver_opts')))
    if (OVERLAY_OPTIONS.includes(name))
      complain(context, at, new Refusal(`a ${driver} has no ${shown(name)}`, hint))
}

/** What follows from a peer's place, and what the tunnel does not carry. */
function refuseInside(context: Context, field: Field): void {
  const entries = [field, ...itemsOf(child(child(field, 'ipam'), 'config'))]
  for (const entry of entries)
    for (const key of ['gateway', 'ip_range']) {
      const part = child(entry, key)
      const reason = `\`${key}\` does not go with \`driver: vxlan\``
      if (part !== null)
        complain(context, part, new Refusal(reason, 'each peer has its own part of the subnet'))
    }
  const six = child(field, 'enable_ipv6')
  if (takeBoolean(six, false) && six !== null)
    complain(context, six, new Refusal('a `vxlan` has IPv4 only'))
}

function peersOf(
  context: Context,
  field: Field,
  at: { readonly subnet: string; readonly encrypted: boolean },
): readonly OverlayPeer[] {
  const entries = entriesOf(field)
  const subnet = parseSubnet(at.subnet)
  const parts = Math.max(LEAST_PARTS, 2 ** Math.ceil(Math.log2(entries.length)))
  if ((subnet.last - subnet.first + 1) / parts < LEAST_ADDRESSES) {
    const reason = `${at.subnet} is too small for ${entries.length} peers`
    complain(context, field, new Refusal(reason, `each gets one part of ${parts}`))
    return []
  }
  const seen = new Map<string, string>()
  return entries.flatMap(([name, entry], index) => {
    const part = partOf(subnet, index, parts)
    const make = () => [peerOf(context, entry, { name, part, encrypted: at.encrypted })]
    const made = attempt<readonly OverlayPeer[]>(context, entry, { make, fallback: [] })
    for (const { address } of made) {
      const other = seen.get(address)
      if (other !== undefined)
        complain(context, entry, new Refusal(`\`${other}\` has this address already`))
      seen.set(address, name)
    }
    return made
  })
}

function peerOf(
  context: Context,
  entry: Field,
  { name, part, encrypted }: { readonly name: string; readonly part: Subnet; encrypted: boolean },
): OverlayPeer {
  const address = parseUnicast(textOf(entry) ?? textOf(child(entry, 'address')) ?? '')
  const key = child(entry, 'public_key')
  const publicKey = take<string | null>(context, key, { parse: parsePublicKey, fallback: null })
  if (encrypted && key === null)
    throw new Refusal(
      `\`encrypted\` needs the \`public_key\` of \`${name}\``,
      'pak network key says it there',
    )
  if (!encrypted && key !== null)
    throw new Refusal('a `public_key` goes with `encrypted: true`', 'leave it out')
  return {
    name,
    address,
    range: part.cidr,
    gateway: firstAddress(part),
    ...(publicKey === null ? {} : { publicKey }),
  }
}

function parseUnicast(text: string): string {
  const address = parseIpv4(text)
  if (/^(0|127|22[4-9]|2[345][0-9])\./.test(address))
    throw new Refusal(`${address} is no address at which another machine is reached`)
  return address
}

/** 32 bytes (Curve25519) in base64, as wg(8) writes them. */
function parsePublicKey(text: string): string {
  if (/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)) return text
  throw new Refusal(`expected a public key, 44 characters of base64, got ${shown(text)}`)
}

function ownPeer(peers: readonly OverlayPeer[], addresses: readonly string[]): OverlayPeer | null {
  const own = peers.filter(({ address }) => addresses.includes(address))
  const [first] = own
  if (own.length === 1 && first !== undefined) return first
  if (peers.length === 0) return null
  const listed = (own.length > 1 ? own : peers).map(({ name, address }) => `${name} ${address}`)
  if (own.length > 1)
    throw new Refusal(`this machine is several of the peers: ${listed.join(', ')}`)
  throw new Refusal(
    `this machine is none of the peers: it has no address of ${listed.join(', ')}`,
    `it has ${addresses.filter((address) => !address.startsWith('127.')).join(', ') || 'none'}`,
  )
}

interface Options {
  vni?: number
  port?: number
  wireguardPort?: number
}

function optionsOf(context: Context, field: Field): Readonly<Options> {
  const found: Options = {}
  const encrypted = takeBoolean(child(field, 'encrypted'), false)
  for (const { name, value, field: at } of pairsOf(child(field, 'driver_opts'))) {
    const make = () => {
      if (name === 'vni') found.vni = parseVni(value ?? '')
      if (name === 'port') found.port = parsePort(value ?? '')
      if (name !== 'wireguard_port') return
      if (!encrypted) throw new Refusal('`wireguard_port` goes with `encrypted: true`')
      found.wireguardPort = parsePort(value ?? '')
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  return found
}

const parseVni = parseInteger({ what: 'vni', least: 1, most: 0xff_ff_ff })
const parsePort = parseInteger({ what: 'port', least: 1, most: 65_535 })

/** The same on every machine, as file and project are; never 0. */
function vniOf(project: string, network: string): number {
  const hash = createHash('sha256').update(`${project}/${network}`).digest()
  return hash.readUIntBE(0, 3) || 1
}
