import { createHash } from 'node:crypto'
import { PakError } from '../errors.ts'
import { ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { macAddress } from './bridge.ts'
import { formatAddress, parseAddress } from './ipv4.ts'
import { deviceWord, macWord, numberWord } from './words.ts'

/**
 * A port of a network's bridge that carries its frames to other machines (RFC 7348).
 *
 * Nobody tells one machine which containers another has, so the device learns where an address is from
 * the frames that come: the firewall lets only peers' in, and the MAC of an address never moves, as each
 * machine has a range of its own. What it has not learned goes to every peer. Of the peers' gateways,
 * where names are asked for, everything is known: they are written down for good.
 */
export interface Vxlan {
  readonly name: string
  readonly bridge: string
  readonly vni: number
  readonly port: number
  readonly mtu: number
  /** This machine's address on the net between the machines. */
  readonly local: string
  /** The only device that its packets go by; `null`: whichever leads there. */
  readonly lower: string | null
  /** CIDR: this machine's own part of the network. */
  readonly range: string
  /** From other such ports of the bridge. */
  readonly isolated: boolean
  readonly peers: readonly VxlanPeer[]
}

export interface VxlanPeer {
  /** Where its tunnel ends. */
  readonly address: string
  /** On the network. */
  readonly gateway: string
}

/** Outer IPv4, UDP, VXLAN and inner Ethernet headers, in bytes. */
const OVERHEAD = 50
/** Not `pv`: frames of those ports are handed to this host (see `Lift`), which would send these on again. */
export const vxlanName = (seed: string): string =>
  `px${createHash('sha256').update(seed).digest('hex').slice(0, 12)}`

export const vxlanMtu = (underlay: number): number => underlay - OVERHEAD

/** Lines for `ip -batch`, after those of the bridge; of a device in `existing` only what may change. */
export function vxlanBatch(vxlan: Vxlan, existing: boolean): string[] {
  const name = deviceWord(vxlan.name)
  const bridge = deviceWord(vxlan.bridge)
  return [
    ...(existing ? [] : [additionOf(vxlan)]),
    // No IPv6 of its own on a port.
    `link set dev ${name} mtu ${numberWord(vxlan.mtu)} addrgenmode none`,
    `link set dev ${name} master ${bridge} up`,
    `link set dev ${name} type bridge_slave isolated ${vxlan.isolated ? 'on' : 'off'}`,
    ...vxlan.peers.map(
      ({ gateway }) =>
        `neigh replace ${addressWord(gateway)} lladdr ${macAddress(gateway)} dev ${bridge} nud permanent`,
    ),
  ]
}

const additionOf = ({ name, vni, port, local, lower }: Vxlan): string =>
  `link add name ${name} type vxlan id ${numberWord(vni)} local ${addressWord(local)}` +
  ` dstport ${numberWord(port)} learning${lower === null ? '' : ` dev ${deviceWord(lower)}`}`

export const vxlanRemoval = (name: string): string => `link del dev ${deviceWord(name)}`

/** One entry of the device's forwarding database. */
interface FdbEntry {
  readonly mac: string
  /** Where it leads; `null`: to the device, in the bridge's own database, so that no container takes it. */
  readonly address: string | null
}

const EVERYBODY = '00:00:00:00:00:00'

/** What the database shall hold for good; besides, it holds what the device has learned. */
const wantedEntries = ({ peers }: Vxlan): readonly FdbEntry[] =>
  peers.flatMap(({ address, gateway }) => [
    { mac: EVERYBODY, address },
    { mac: macAddress(gateway), address },
    { mac: macAddress(gateway), address: null },
  ])

const sameEntry = (a: FdbEntry, b: FdbEntry): boolean => a.mac === b.mac && a.address === b.address

/** Lines for `bridge -batch` that bring it from what it holds to what it shall hold. */
export function fdbBatch(vxlan: Vxlan, held: readonly FdbEntry[]): string[] {
  const name = deviceWord(vxlan.name)
  const wanted = wantedEntries(vxlan)
  const gone = held.filter((entry) => !wanted.some((other) => sameEntry(entry, other)))
  const added = wanted.filter((entry) => !held.some((other) => sameEntry(entry, other)))
  const line = (verb: string, { mac, address }: FdbEntry) =>
    `fdb ${verb} ${macWord(mac)} dev ${name} ${address === null ? 'master' : `dst ${addressWord(address)} self`}`
  return [
    ...gone.map((entry) => line('del', entry)),
    ...added.map((entry) =>
      entry.mac === EVERYBODY ? line('append', entry) : `${line('replace', entry)} static`,
    ),
  ]
}

/** What of it is not there, for a reader; `null`: nothing. */
export function fdbDrift(vxlan: Vxlan, held: readonly FdbEntry[]): string | null {
  const lost = wantedEntries(vxlan).find((entry) => !held.some((other) => sameEntry(entry, other)))
  const what = ({ mac, address }: FdbEntry) => address ?? mac
  if (lost !== undefined) return `vxlan ${vxlan.name} lost its way to ${what(lost)}`
  const extra = held.find((entry) => !wantedEntries(vxlan).some((one) => sameEntry(entry, one)))
  return extra === undefined ? null : `vxlan ${vxlan.name} had a way to ${what(extra)}`
}

/** Entries that were written, not learned; `null` where there is no such device. */
export async function readFdb(kernel: Kernel, name: string): Promise<readonly FdbEntry[] | null> {
  const { exitCode, stdout } = await kernel.run('bridge', ['-j', 'fdb', 'show', 'dev', name])
  return exitCode === 0 ? parseFdb(stdout) : null
}

/** bridge(8)'s JSON. Without `dst` an entry is the bridge's; the device's own address is `permanent` there. */
export function parseFdb(text: string): readonly FdbEntry[] {
  const entries: unknown = text.trim() === '' ? [] : JSON.parse(text)
  if (!Array.isArray(entries)) return []
  return entries.flatMap((entry: { mac?: unknown; dst?: unknown; state?: unknown } | null) => {
    const { mac, dst, state } = entry ?? {}
    const kept = state === 'permanent' || state === 'static'
    if (!kept || typeof mac !== 'string') return []
    if (typeof dst === 'string') return { mac, address: dst }
    return state === 'static' ? { mac, address: null } : []
  })
}

/** Bring the databases of devices that are there to what they shall hold. Throws `network`. */
export async function writeFdb(kernel: Kernel, devices: readonly Vxlan[]): Promise<void> {
  const held = await Promise.all(devices.map(({ name }) => readFdb(kernel, name)))
  const lines = devices.flatMap((vxlan, index) => fdbBatch(vxlan, held[index] ?? []))
  if (lines.length === 0) return
  const input = `${lines.join('\n')}\n`
  const { exitCode, stderr } = await kernel.run('bridge', ['-batch', '-'], { input })
  if (exitCode === 0) return
  const reason =
    stderr
      .trim()
      .split('\n')[0]
      ?.replace(/^RTNETLINK answers: /, '') ?? ''
  throw new PakError('network', `bridge \`fdb\`: ${reason.toLowerCase()}`)
}

/** A device as it is; only what cannot be changed while it is there. */
export interface VxlanFacts {
  readonly name: string
  readonly vni: number
  readonly port: number
  readonly local: string
  readonly lower: string | null
}

export async function readVxlans(kernel: Kernel): Promise<readonly VxlanFacts[]> {
  const links = await ipJson(kernel, ['-d', 'link', 'show', 'type', 'vxlan'])
  return Array.isArray(links) ? links.flatMap((link: VxlanLink | null) => factsOf(link ?? {})) : []
}

/** What is used of ip-link(8)'s JSON. */
interface VxlanLink {
  readonly ifname?: string
  readonly linkinfo?: {
    readonly info_data?: { id?: number; port?: number; local?: string; link?: string }
  }
}

function factsOf({ ifname, linkinfo }: VxlanLink): readonly VxlanFacts[] {
  const { id = 0, port = 0, local = '', link = null } = linkinfo?.info_data ?? {}
  return ifname === undefined ? [] : [{ name: ifname, vni: id, port, local, lower: link }]
}

export const isAsMade = (vxlan: Vxlan, found: VxlanFacts): boolean =>
  found.vni === vxlan.vni &&
  found.port === vxlan.port &&
  found.local === vxlan.local &&
  found.lower === vxlan.lower

/** Name and size of the interface that has an address of this machine; `null`: none has. */
export async function underlayOf(
  kernel: Kernel,
  address: string,
): Promise<{ readonly device: string; readonly mtu: number } | null> {
  const answer = await ipJson(kernel, ['-4', 'addr', 'show', 'to', address])
  if (!Array.isArray(answer)) return null
  for (const link of answer as readonly { ifname?: string; mtu?: number }[])
    if (typeof link.ifname === 'string' && typeof link.mtu === 'number')
      return { device: link.ifname, mtu: link.mtu }
  return null
}

const addressWord = (text: string): string => formatAddress(parseAddress(text))
