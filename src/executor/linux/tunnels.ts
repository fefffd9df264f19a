import { PakError } from '../../errors.ts'
import { macAddress } from '../../network/bridge.ts'
import { formatAddress, parseCidr } from '../../network/ipv4.ts'
import { portsOf } from '../../network/view.ts'
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
import type { LinuxHost } from './host.ts'
import type { NetworkRecord } from './records.ts'

/** The device of a network that spans machines, as it should be; `null` for one that does not. */
export function vxlanOf({ spec, bridge, tunnel }: NetworkRecord): Vxlan | null {
  const { overlay, isolated = false } = spec
  if (overlay === undefined || tunnel === undefined) return null
  const { vni, port, host, peers } = overlay
  const own = peers.find(({ name }) => name === host)
  return {
    name: tunnel.device,
    bridge,
    vni,
    port,
    mtu: tunnel.mtu,
    local: own?.address ?? '',
    range: own?.range ?? '',
    isolated,
    peers: peers
      .filter(({ name }) => name !== host)
      .map(({ address, gateway }) => ({ address, gateway })),
  }
}

/** What goes through a network's interfaces in one packet, in bytes; `undefined`: as the kernel has it. */
export const mtuOf = ({ spec, tunnel }: NetworkRecord): number | undefined =>
  spec.mtu ?? tunnel?.mtu

/**
 * Of a machine's range nobody leases the first address, which looks like a network's own, and the one
 * before its last, which is the machine's in WireGuard. Held by words that are no container's name.
 */
export function tunnelLeases({ overlay, ipRange }: NetworkRecord['spec']): Record<string, string> {
  if (overlay === undefined || ipRange === undefined) return {}
  const { first, last } = parseCidr(ipRange)
  return { 'tunnel:first': formatAddress(first), 'tunnel:own': formatAddress(last - 1) }
}

/** With its device's name and size, for a network that spans machines. Throws `network`. */
export async function withTunnel(
  host: LinuxHost,
  project: string,
  record: NetworkRecord,
): Promise<NetworkRecord> {
  const { overlay, name, mtu } = record.spec
  if (overlay === undefined || record.tunnel !== undefined) return record
  const own = overlay.peers.find((peer) => peer.name === overlay.host)
  const underlay = await underlayOf(host.kernel, own?.address ?? '')
  if (underlay === null) throw noSuchPeer(name, own?.address ?? '')
  const device = vxlanName(host.layout.seed(project, name))
  return { ...record, tunnel: { device, mtu: mtu ?? vxlanMtu(underlay.mtu) } }
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
  return wanted.flatMap((vxlan) => {
    const there = found.find(({ name }) => name === vxlan.name)
    const whole = there !== undefined && isAsMade(vxlan, there)
    return [
      ...(there === undefined || whole ? [] : [vxlanRemoval(vxlan.name)]),
      ...strayNeighbours(host, vxlan).map((address) => `neigh del ${address} dev ${vxlan.bridge}`),
      ...vxlanBatch(vxlan, whole),
    ]
  })
}

/** Once the devices are there: the ways to their peers. */
export async function openTunnels(
  host: LinuxHost,
  records: readonly NetworkRecord[],
): Promise<void> {
  const wanted = records.flatMap((record) => vxlanOf(record) ?? [])
  if (wanted.length === 0) return
  await writeFdb(host.kernel, wanted)
  for (const { name } of wanted) host.tunnels.delete(name)
}

/** Look at what only a program can show. Costs nothing where no network spans machines. */
export async function lookAtTunnels(host: LinuxHost): Promise<void> {
  const wanted = host.records
    .loaded()
    .flatMap(({ networks }) => [...networks.values()].flatMap((record) => vxlanOf(record) ?? []))
  await Promise.all(
    wanted.map(async (vxlan) => {
      const held = await readFdb(host.kernel, vxlan.name)
      const fact = held === null ? null : fdbDrift(vxlan, held)
      if (fact === null) host.tunnels.delete(vxlan.name)
      else host.tunnels.set(vxlan.name, fact)
    }),
  )
}

/** What a network's tunnel lacks to be as it was made; `null`: nothing. Reads that never wait. */
export function tunnelDrift(host: LinuxHost, record: NetworkRecord): string | null {
  const vxlan = vxlanOf(record)
  if (vxlan === null) return null
  const { name, bridge } = vxlan
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
