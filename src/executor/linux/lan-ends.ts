import { ipBatch } from '../../kernel/ip.ts'
import { isLan } from '../../model/network-kind.ts'
import { macAddress } from '../../network/bridge.ts'
import { type Child, removeChildren } from '../../network/lan.ts'
import type { SourceRoute } from '../../network/source-routes.ts'
import { interfacesOf } from '../../network/view.ts'
import type { End } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { netnsPath } from './netns.ts'

/** The interfaces of a container that have no end on this host, as they should be. */
export const childrenOf = (ends: readonly End[], pid: number): readonly Child[] =>
  ends.flatMap(({ network, attachment, peer, address }) => {
    const { driver, lan, mtu } = network.spec
    if (lan === undefined || (driver !== 'macvlan' && driver !== 'ipvlan')) return []
    const own = driver === 'macvlan' && lan.mode !== 'passthru'
    return {
      ...{ parent: network.bridge, kind: driver, mode: lan.mode, peer, pid },
      mac: own ? (attachment.mac ?? macAddress(address)) : null,
      ...(lan.flag === undefined ? {} : { flag: lan.flag }),
      ...(mtu === undefined ? {} : { mtu }),
    }
  })

/** Of a container on a LAN: its addresses on bridges, each of which has a way of its own. */
export const sourceRoutesOf = (ends: readonly End[]): readonly SourceRoute[] =>
  ends.some(({ network }) => isLan(network.spec))
    ? ends.flatMap(({ network, peer, address, address6 }, index) => {
        if (isLan(network.spec)) return []
        const { subnet, gateway, ipv6 } = network
        const at = { device: peer, table: FIRST_TABLE + index }
        const six =
          ipv6 === undefined || address6 === null
            ? []
            : [{ ...at, address: address6, subnet: ipv6.subnet, gateway: ipv6.gateway }]
        return [{ ...at, address, subnet, gateway }, ...six]
      })
    : []

/** Of a container's own: far from those that the kernel has, 253 to 255. */
const FIRST_TABLE = 1000

/** Those of them that are not there. */
export const missingChildren = (host: LinuxHost, children: readonly Child[]): readonly Child[] =>
  children.filter(({ pid, peer }) => interfacesOf(host.kernel, pid)?.has(peer) !== true)

/** Take such interfaces from containers that have ended: their addresses are to be had again at once. */
export async function takeChildren(
  host: LinuxHost,
  containerIds: readonly string[],
): Promise<void> {
  for (const id of containerIds) await removeChildren(host.kernel, netnsPath(host, id))
}

/** Take one of a running container's. */
export const takeChild = (host: LinuxHost, pid: number, peer: string): Promise<void> =>
  ipBatch(host.kernel, [`link del dev ${peer}`], { netnsPid: pid, goneIsFine: true })

/** Facts of what a container lacks of them. Never waits. */
export function childFacts(host: LinuxHost, ends: readonly End[], pid: number): readonly string[] {
  const there = interfacesOf(host.kernel, pid)
  if (there === null) return []
  return ends
    .filter(({ network, peer }) => isLan(network.spec) && !there.has(peer))
    .map(({ network, peer }) => `${network.spec.driver} ${peer} is gone`)
}
