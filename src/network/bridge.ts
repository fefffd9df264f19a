import { createHash } from 'node:crypto'
import { PakError } from '../errors.ts'
import { ipBatch, ipBatchEach, ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { address6 } from './ipam6.ts'
import { formatAddress, parseAddress, parseCidr } from './ipv4.ts'
import { deviceWord, macWord, numberWord, word } from './words.ts'

/** A network's bridge on the host, with the gateway's address on it. */
export interface Bridge {
  readonly name: string
  readonly gateway: string
  readonly prefix: number
  /** Of services: this host answers ARP for them. */
  readonly services?: readonly string[]
  readonly ipv6?: { readonly gateway: string; readonly prefix: number }
  readonly mtu?: number
}

/** A veth pair: one end on a bridge, the other born inside the namespace of `pid` with its final name. */
export interface Link {
  readonly host: string
  readonly bridge: string
  readonly peer: string
  readonly pid: number
  readonly mac: string
  /** Of the host end: see `linkGroup`. */
  readonly group: number
  readonly mtu?: number
  /** From other such ports of its bridge. */
  readonly isolated?: boolean
}

/** An interface inside a container. `gateway` only on the one that has the default route. */
export interface Interface {
  readonly name: string
  readonly address: string
  readonly prefix: number
  readonly gateway: string | null
  /** It has the default route, and no gateway: it finds everybody by itself. */
  readonly onLink?: boolean
  readonly ipv6?: {
    readonly address: string
    readonly prefix: number
    readonly gateway: string | null
  }
}

/** Interface names have 15 characters (IFNAMSIZ), so they are hashes of what they stand for. */
export const bridgeName = (seed: string): string => `pak${hash(seed, 10)}`
export const vethName = (seed: string): string => `pv${hash(seed, 12)}`

/** A locally administered MAC that follows from the address: stable across recreates, so no stale ARP. */
export function macAddress(address: string): string {
  const octets = formatAddress(parseAddress(address)).split('.')
  return ['02', '50', ...octets.map((octet) => Number(octet).toString(16).padStart(2, '0'))].join(
    ':',
  )
}

/**
 * The group (ip-link(8)) of a container's port: its IPv4 address on the network, as a number without
 * the highest bit, as ip takes no more. The firewall tells ports by it, as their names change from run
 * to run; private blocks (RFC 1918, RFC 6598) do not meet in it.
 */
export const linkGroup = (address: string): number => parseAddress(address) % 2 ** 31

/** Groups that ports of a network can have. */
export function linkGroups(subnet: string): { readonly first: number; readonly last: number } {
  const { first, last } = parseCidr(subnet)
  return { first: first % 2 ** 31, last: last % 2 ** 31 }
}

/** Lines for `ip -batch` that make bridges; those in `existing` are only mended. */
export function bridgeBatch(
  bridges: readonly Bridge[],
  existing: ReadonlySet<string> = new Set(),
): string[] {
  return bridges.flatMap(({ name, gateway, prefix, services = [], mtu }) => {
    const checked = { name: deviceWord(name), gateway: formatAddress(parseAddress(gateway)) }
    return [
      // With a MAC of its own a bridge keeps it; otherwise it changes with its ports, under the containers' ARP.
      ...(existing.has(name)
        ? []
        : [`link add name ${checked.name} address ${macAddress(gateway)} type bridge`]),
      ...(mtu === undefined ? [] : [`link set dev ${checked.name} mtu ${mtuWord(mtu)}`]),
      `addr replace ${checked.gateway}/${prefixLength(prefix)} brd + dev ${checked.name}`,
      ...serviceAddressBatch(
        services
          .filter((address) => !isSix(address))
          .map((address) => ({ bridge: name, address, verb: 'replace' })),
      ),
      `link set dev ${checked.name} up`,
    ]
  })
}

/** Lines that give bridges addresses of services, or take them away. */
export const serviceAddressBatch = (
  changes: readonly {
    readonly bridge: string
    readonly address: string
    readonly verb: 'replace' | 'del'
  }[],
): string[] =>
  changes.map(({ bridge, address, verb }) => {
    const dev = deviceWord(bridge)
    if (!isSix(address)) return `addr ${verb} ${formatAddress(parseAddress(address))}/32 dev ${dev}`
    // Past its preferred time this host never speaks with it by itself.
    const manner = verb === 'replace' ? ' nodad preferred_lft 0' : ''
    return `addr ${verb} ${address6(address)}/128 dev ${dev}${manner}`
  })

const isSix = (address: string): boolean => address.includes(':')

/** Made, named, put on its bridge and up with one netlink message per veth, and one more for its port. */
export function vethBatch(links: readonly Link[]): string[] {
  return links.flatMap(({ host, bridge, peer, pid, mac, group, mtu, isolated = false }) => {
    const size = mtu === undefined ? '' : ` mtu ${mtuWord(mtu)}`
    return [
      `link add name ${deviceWord(host)} group ${numberWord(group)}${size} master ${deviceWord(bridge)} up type veth` +
        ` peer name ${deviceWord(peer)} address ${macWord(mac)}${size} netns ${processId(pid)}`,
      portOptions(host, isolated),
    ]
  })
}

/**
 * Where br_netfilter is on (Docker, Kubernetes), a container's packet to its own published port is
 * rewritten inside the bridge, and has to leave by the port that it came in by.
 *
 * Frames to 01:80:c2:00:00:0X go to this host past every chain, as the port's own and not the bridge's,
 * and teach it MACs (br_handle_frame), unless a port passes them on as all others: then they are a
 * multicast like any. Pause frames (01) cannot be, and go nowhere.
 */
const portOptions = (host: string, isolated: boolean): string =>
  `link set dev ${host} type bridge_slave hairpin on group_fwd_mask 0xfffd${isolated ? ' isolated on' : ''}`

/** Lines that put veths back on a bridge that was made anew. */
export const attachBatch = (
  links: readonly Pick<Link, 'host' | 'bridge' | 'group' | 'isolated'>[],
): string[] =>
  links.flatMap(({ host, bridge, group, isolated = false }) => [
    `link set dev ${deviceWord(host)} group ${numberWord(group)}`,
    `link set dev ${host} master ${deviceWord(bridge)} up`,
    portOptions(host, isolated),
  ])

/** Lines for `ip -batch` inside a container's namespace. */
export function addressBatch(interfaces: readonly Interface[]): string[] {
  const routes = interfaces.flatMap(({ name, gateway, onLink, ipv6 }) => [
    ...(onLink === true ? [`route replace default dev ${deviceWord(name)}`] : []),
    ...(onLink === true && ipv6 !== undefined ? [`route replace ::/0 dev ${name}`] : []),
    ...(gateway === null
      ? []
      : [`route replace default via ${formatAddress(parseAddress(gateway))} dev ${name}`]),
    ...(typeof ipv6?.gateway === 'string'
      ? [`route replace ::/0 via ${address6(ipv6.gateway)} dev ${name}`]
      : []),
  ])
  return [
    'link set dev lo up',
    ...interfaces.flatMap(({ name, address, prefix, ipv6 }) => [
      `addr replace ${formatAddress(parseAddress(address))}/${prefixLength(prefix)} brd + dev ${deviceWord(name)}`,
      ...(ipv6 === undefined ? [] : [addressLine6(name, ipv6)]),
      `link set dev ${deviceWord(name)} up`,
    ]),
    ...routes,
  ]
}

/**
 * Make or mend bridges: one batch, then the sysctls they need. A bridge already right is left alone.
 * Throws `conflict` when a name belongs to a link that is no bridge, `network` when the kernel refuses.
 */
export async function createBridges(
  kernel: Kernel,
  bridges: readonly Bridge[],
  /** Lines of what hangs on them, for the same batch. */
  ports: readonly string[] = [],
): Promise<void> {
  if (bridges.length === 0) return
  const links = await readLinks(kernel)
  const byName = new Map(links.map((link) => [link.name, link]))
  for (const { name } of bridges)
    if (byName.has(name) && byName.get(name)?.kind !== 'bridge')
      throw new PakError('conflict', `make bridge \`${name}\`: a link of that name is no bridge`)
  const stale = bridges.flatMap(({ name, gateway, prefix, services = [] }) =>
    (byName.get(name)?.addresses ?? [])
      .filter((address) => address !== `${gateway}/${prefix}`)
      .filter((address) => !services.some((service) => address === `${service}/32`))
      .map((address) => `addr del ${address} dev ${name}`),
  )
  // Who is told the MAC that it has forgets its neighbours all the same.
  const others = bridges
    .filter(({ name, gateway }) => byName.get(name)?.mac !== macAddress(gateway))
    .filter(({ name }) => byName.has(name))
    .map(({ name, gateway }) => `link set dev ${name} address ${macAddress(gateway)}`)
  const existing = new Set(links.map(({ name }) => name))
  await ipBatch(kernel, [...stale, ...others, ...bridgeBatch(bridges, existing), ...ports])
  await allowForwarding(kernel)
  await Promise.all(bridges.map((bridge) => tuneBridge(kernel, bridge)))
  await enableIpv6(kernel, bridges)
}

/** Remove bridges in one batch; one already gone is success. */
export async function removeBridges(kernel: Kernel, names: readonly string[]): Promise<void> {
  await ipBatch(
    kernel,
    names.map((name) => `link del dev ${deviceWord(name)}`),
    { goneIsFine: true },
  )
}

/** Make the veths of many containers in one batch. What is half made goes with its namespace. */
export const connect = (
  kernel: Kernel,
  links: readonly Link[],
  /** Lines of what has no end on this host, for the same batch. */
  more: readonly string[] = [],
): Promise<void> => ipBatch(kernel, [...vethBatch(links), ...more])

/** Lines that delete links together: one by one, each would wait for the kernel's grace period by itself. */
export const disconnectBatch = (hosts: readonly string[]): string[] =>
  hosts.length === 0
    ? []
    : [
        ...hosts.map((host) => `link set dev ${deviceWord(host)} group ${LEAVING}`),
        `link del group ${LEAVING}`,
      ]

/** ip-link(8) group of veths that are on their way out, of any project or agent: "pak!". */
const LEAVING = 0x70616b21

/**
 * Remove host ends, and with them their peers. A dead namespace does it too, in its own time: a socket
 * that still wants to say goodbye keeps it for minutes.
 */
export async function disconnect(kernel: Kernel, hosts: readonly string[]): Promise<void> {
  if (hosts.length === 0) return
  const links = new Set(await kernel.list('/sys/class/net'))
  const left = hosts.filter((host) => links.has(host))
  await ipBatch(kernel, disconnectBatch(left), { goneIsFine: true })
}

/** Address and route the interfaces of one container, inside the namespace of `pid`. */
export const configure = (
  kernel: Kernel,
  pid: number,
  interfaces: readonly Interface[],
): Promise<void> => ipBatch(kernel, addressBatch(interfaces), { netnsPid: pid })

/**
 * `configure` for many containers from one spawn; `file` is where the lines of each may lie for the
 * moment. False when any was refused: `configure` then says which and why, and does the same again.
 */
export async function configureAll(
  kernel: Kernel,
  containers: readonly {
    readonly pid: number
    readonly interfaces: readonly Interface[]
    readonly file: string
  }[],
): Promise<boolean> {
  await Promise.all(
    containers.map(({ interfaces, file }) =>
      kernel.replaceFile(file, `${addressBatch(interfaces).join('\n')}\n`),
    ),
  )
  return ipBatchEach(
    kernel,
    containers.map(({ pid, file }) => ({ netnsPid: pid, file })),
  )
}

/** The host routes between bridges and its uplinks only with this; left alone where it is on. */
export async function allowForwarding(kernel: Kernel): Promise<void> {
  const path = '/proc/sys/net/ipv4/ip_forward'
  if ((await kernel.readText(path))?.trim() !== '1') await kernel.writeText(path, '1')
}

/** Only once the bridge is there can it be told to have IPv6, and only then does it take an address. */
async function enableIpv6(kernel: Kernel, bridges: readonly Bridge[]): Promise<void> {
  const lines = bridges.flatMap(({ name, ipv6, services = [] }) =>
    ipv6 === undefined
      ? []
      : [
          addressLine6(name, { address: ipv6.gateway, prefix: ipv6.prefix }),
          ...serviceAddressBatch(
            services
              .filter(isSix)
              .map((address) => ({ bridge: name, address, verb: 'replace' as const })),
          ),
        ],
  )
  if (lines.length === 0) return
  await allowForwarding6(kernel)
  await ipBatch(kernel, lines)
}

/** No probe for duplicates: it would hold the address back for a second, and pak leases it once. */
const addressLine6 = (
  name: string,
  { address, prefix }: { readonly address: string; readonly prefix: number },
): string =>
  `addr replace ${address6(address)}/${prefixLength6(prefix)} dev ${deviceWord(name)} nodad`

/**
 * A host that forwards takes no router advertisements any more, unless it is told to: its own way out
 * must not be lost for the containers' (ip-sysctl.rst, accept_ra).
 */
async function allowForwarding6(kernel: Kernel): Promise<void> {
  const folder = '/proc/sys/net/ipv6/conf'
  const on = await kernel.readText(`${folder}/all/forwarding`)
  if (on === null)
    throw new PakError('network', 'enable IPv6: this kernel has none', {
      hint: 'leave `enable_ipv6` out',
    })
  if (on.trim() === '1') return
  // Not of links to come, which are containers' as well.
  for (const name of await kernel.list(folder)) {
    if (name === 'all' || name === 'default') continue
    const path = `${folder}/${name}/accept_ra`
    if ((await kernel.readText(path))?.trim() === '1') await kernel.writeText(path, '2')
  }
  await kernel.writeText(`${folder}/all/forwarding`, '1')
}

async function tuneBridge(kernel: Kernel, { name, ipv6 }: Bridge): Promise<void> {
  // 127.0.0.1:<published> is rewritten to leave by the bridge and come back by it. The firewall's
  // `guard` chain drops what others send to 127/8, which this would otherwise let in.
  await kernel.writeText(`/proc/sys/net/ipv4/conf/${name}/route_localnet`, '1')
  // With `ip_forward` it has that from its begin, until somebody takes it away.
  await kernel.writeText(`/proc/sys/net/ipv4/conf/${name}/forwarding`, '1')
  // A container cannot speak with the address of a container of another network.
  await kernel.writeText(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '1')
  const six = `/proc/sys/net/ipv6/conf/${name}`
  if (!(await kernel.exists(six))) return
  await kernel.writeText(`${six}/accept_ra`, '0')
  await kernel.writeText(`${six}/disable_ipv6`, ipv6 === undefined ? '1' : '0')
}

interface LinkFacts {
  readonly name: string
  readonly kind: string
  readonly mac: string
  readonly addresses: readonly string[]
}

async function readLinks(kernel: Kernel): Promise<LinkFacts[]> {
  const answer = await ipJson(kernel, ['-d', 'addr', 'show'])
  return Array.isArray(answer) ? answer.map((link) => parseLink(link as IpLink)) : []
}

/** What is used of ip-address(8)'s JSON; every key may be missing. */
interface IpLink {
  readonly ifname?: string
  readonly address?: string
  readonly linkinfo?: { readonly info_kind?: string }
  readonly addr_info?: readonly { family?: string; local?: string; prefixlen?: number }[]
}

function parseLink(link: IpLink): LinkFacts {
  return {
    name: link.ifname ?? '',
    kind: link.linkinfo?.info_kind ?? '',
    mac: link.address ?? '',
    addresses: (link.addr_info ?? [])
      .filter(({ family }) => family === 'inet')
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }
}

const hash = (seed: string, length: number): string =>
  createHash('sha256').update(seed).digest('hex').slice(0, length)

const prefixLength = (prefix: number): string =>
  word(String(prefix), /^([0-9]|[12][0-9]|3[0-2])$/, 'prefix length')
const prefixLength6 = (prefix: number): string =>
  word(String(prefix), /^([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$/, 'prefix length')
const mtuWord = (mtu: number): string => word(String(mtu), /^[1-9][0-9]{2,4}$/, 'mtu')
const processId = (pid: number): string => word(String(pid), /^[1-9][0-9]{0,9}$/, 'pid')
