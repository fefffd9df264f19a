import { PakError } from '../../errors.ts'
import type { OverlayPeer } from '../../model/desired.ts'
import { macAddress } from '../../network/bridge.ts'
import { formatAddress, parseCidr } from '../../network/ipv4.ts'
import { type NetworkView, portsOf } from '../../network/view.ts'
import {
  fdbDrift,
  isAsMade,
  readFdb,
  readVxlans,
  underlayOf,
  type Vxlan,
  vxlanBatch,
  vxlanMtu,
  vxlanName,
  vxlanRemoval,
  writeFdb,
} from '../../network/vxlan.ts'
import {
  readWireguard,
  setWireguard,
  type Wireguard,
  wireguardAddress,
  wireguardBatch,
  wireguardDrift,
  wireguardMtu,
  wireguardName,
  wireguardRoutes,
} from '../../network/wireguard.ts'
import type { LinuxHost } from './host.ts'
import type { NetworkRecord } from './records.ts'
import { keyFile, publicKey, wireguardOf } from './wireguard.ts'

/** The device of a network that spans machines, as it should be; `null` for one that does not. */
export function vxlanOf(record: NetworkRecord): Vxlan | null {
  const { bridge, tunnel } = record
  const { overlay, isolated = false } = record.spec
  if (overlay === undefined || tunnel === undefined) return null
  const { vni, port, host, peers, encrypted } = overlay
  const own = peers.find(({ name }) => name === host)
  const end = ({ address, range }: OverlayPeer) => (encrypted ? wireguardAddress(range) : address)
  return {
    name: tunnel.device,
    bridge,
    vni,
    port,
    mtu: mtuOf(record) ?? vxlanMtu(tunnel.underlayMtu),
    local: own === undefined ? '' : end(own),
    lower: tunnel.wireguard ?? null,
    range: own?.range ?? '',
    isolated,
    peers: peers
      .filter((peer) => peer !== own)
      .map((peer) => ({ address: end(peer), gateway: peer.gateway })),
  }
}

/** What goes through a network's interfaces in one packet, in bytes; `undefined`: as the kernel has it. */
export function mtuOf({ spec, tunnel }: NetworkRecord): number | undefined {
  if (spec.mtu !== undefined || tunnel === undefined) return spec.mtu
  const { wireguard, underlayMtu } = tunnel
  return vxlanMtu(wireguard === undefined ? underlayMtu : wireguardMtu(underlayMtu))
}

/**
 * Of a machine's range nobody leases the first address, which looks like a network's own, and the one
 * before its last, which is the machine's in WireGuard. Held by words that are no container's name.
 */
export function tunnelLeases({ overlay, ipRange }: NetworkRecord['spec']): Record<string, string> {
  if (overlay === undefined || ipRange === undefined) return {}
  const first = formatAddress(parseCidr(ipRange).first)
  return { 'tunnel:first': first, 'tunnel:own': wireguardAddress(ipRange) }
}

/** With its device's name and size, for a network that spans machines. Throws `network`. */
export async function withTunnel(
  host: LinuxHost,
  project: string,
  record: NetworkRecord,
): Promise<NetworkRecord> {
  const { overlay, name } = record.spec
  if (overlay === undefined || record.tunnel !== undefined) return record
  const own = overlay.peers.find((peer) => peer.name === overlay.host)
  const underlay = await underlayOf(host.kernel, own?.address ?? '')
  if (underlay === null) throw noSuchPeer(name, own?.address ?? '')
  const seed = host.layout.seed(project, name)
  const wireguard = overlay.encrypted ? { wireguard: wireguardName(seed) } : {}
  const tunnel = { device: vxlanName(seed), underlayMtu: underlay.mtu, ...wireguard }
  return { ...record, tunnel }
}

export const noSuchPeer = (network: string, address: string): PakError =>
  new PakError(
    'network',
    `network \`${network}\`: this machine has no address ${address} any more`,
    {
      hint: 'say in `peers` where the others reach it',
    },
  )

/** Lines for the batch that makes or mends the bridges. */
export async function tunnelLines(
  host: LinuxHost,
  records: readonly NetworkRecord[],
): Promise<readonly string[]> {
  const wanted = records.flatMap((record) => vxlanOf(record) ?? [])
  if (wanted.length === 0) return []
  const found = await readVxlans(host.kernel)
  const lower = await Promise.all(
    records.flatMap((record) => wireguardOf(record) ?? []).map((one) => carrierLines(host, one)),
  )
  return [
    ...lower.flat(),
    ...wanted.flatMap((vxlan) => {
      const there = found.find(({ name }) => name === vxlan.name)
      const whole = there !== undefined && isAsMade(vxlan, there)
      return [
        ...(there === undefined || whole ? [] : [vxlanRemoval(vxlan.name)]),
        ...strayNeighbours(host, vxlan).map((at) => `neigh del ${at} dev ${vxlan.bridge}`),
        ...vxlanBatch(vxlan, whole),
      ]
    }),
  ]
}

async function carrierLines(host: LinuxHost, device: Wireguard): Promise<readonly string[]> {
  const existing = await host.kernel.exists(`/sys/class/net/${device.name}`)
  const routes = existing ? await wireguardRoutes(host.kernel, device.name) : []
  return wireguardBatch(device, { existing, routes })
}

/** Once the devices are there: the ways to their peers. */
export async function openTunnels(
  host: LinuxHost,
  records: readonly NetworkRecord[],
): Promise<void> {
  const wanted = records.flatMap((record) => vxlanOf(record) ?? [])
  if (wanted.length === 0) return
  for (const device of records.flatMap((record) => wireguardOf(record) ?? [])) {
    await publicKey(host)
    await setWireguard(host.kernel, device, keyFile(host))
  }
  await writeFdb(host.kernel, wanted)
  for (const { name } of wanted) host.tunnels.delete(name)
}

/** Look at what only a program can show. Costs nothing where no network spans machines. */
export async function lookAtTunnels(host: LinuxHost): Promise<void> {
  const records = host.records.loaded().flatMap(({ networks }) => [...networks.values()])
  await Promise.all(
    records.map(async (record) => {
      const vxlan = vxlanOf(record)
      if (vxlan === null) return
      const fact = await factOf(host, record, vxlan)
      if (fact === null) host.tunnels.delete(vxlan.name)
      else host.tunnels.set(vxlan.name, fact)
    }),
  )
}

/** What cannot be looked at is that network's trouble, and no other's. */
async function factOf(
  host: LinuxHost,
  record: NetworkRecord,
  vxlan: Vxlan,
): Promise<string | null> {
  try {
    return (await carrierFact(host, record)) ?? (await wayFact(host, vxlan))
  } catch (error) {
    if (error instanceof PakError) return error.message
    throw error
  }
}

async function wayFact({ kernel }: LinuxHost, vxlan: Vxlan): Promise<string | null> {
  const held = await readFdb(kernel, vxlan.name)
  return held === null ? null : fdbDrift(vxlan, held)
}

async function carrierFact({ kernel }: LinuxHost, record: NetworkRecord): Promise<string | null> {
  const device = wireguardOf(record)
  const found = device === null ? null : await readWireguard(kernel, device.name)
  if (device === null || found === null) return null
  const routes = await wireguardRoutes(kernel, device.name)
  const lost = device.peers.find(({ address }) => !routes.includes(address))
  if (lost !== undefined) return `wireguard ${device.name} lost its way to ${lost.endpoint}`
  return wireguardDrift(device, found)
}

/** What a network's tunnel lacks to be as it was made; `null`: nothing. Reads that never wait. */
export function tunnelDrift(
  host: LinuxHost,
  view: NetworkView,
  record: NetworkRecord,
): string | null {
  const vxlan = vxlanOf(record)
  if (vxlan === null) return null
  const { name, bridge, lower, local } = vxlan
  if (lower !== null) {
    const state = host.kernel.readNow(`/sys/class/net/${lower}/flags`)
    if (state === null) return `wireguard ${lower} is gone`
    if ((Number(state) & IFF_UP) === 0) return `wireguard ${lower} was down`
    if (!view.addresses.has(local)) return `wireguard ${lower} lost its address ${local}`
  }
  const flags = host.kernel.readNow(`/sys/class/net/${name}/flags`)
  if (flags === null) return `vxlan ${name} is gone`
  if (!portsOf(host.kernel, bridge).has(name)) return `vxlan ${name} was not on bridge ${bridge}`
  if ((Number(flags) & IFF_UP) === 0) return `vxlan ${name} was down`
  const known = neighboursOf(host, bridge)
  const lost = vxlan.peers.find(({ gateway }) => known.get(gateway) !== macAddress(gateway))
  if (lost !== undefined) return `bridge ${bridge} lost its neighbour ${lost.gateway}`
  return host.tunnels.get(name) ?? null
}

const IFF_UP = 1

/** Address -> MAC of what was written down for good, not learned (proc_net's arp, flag ATF_PERM). */
function neighboursOf(host: LinuxHost, bridge: string): ReadonlyMap<string, string> {
  const table = host.kernel.readNow('/proc/self/net/arp') ?? ''
  return new Map(
    table.split('\n').flatMap((line) => {
      const [address = '', , flags, mac = '', , device] = line.split(/\s+/)
      return device === bridge && (Number(flags) & ATF_PERM) !== 0 ? [[address, mac] as const] : []
    }),
  )
}

const ATF_PERM = 4

/** Written down, and no peer's any more. */
const strayNeighbours = (host: LinuxHost, { bridge, peers }: Vxlan): readonly string[] =>
  [...neighboursOf(host, bridge).keys()].filter(
    (address) => !peers.some(({ gateway }) => gateway === address),
  )
