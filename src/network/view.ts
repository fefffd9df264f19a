import { endianness } from 'node:os'
import type { Kernel } from '../kernel/kernel.ts'
import { parseIpv6 } from '../model/ipv6.ts'
import { macAddress } from './bridge.ts'
import { formatAddress, parseAddress, parseCidr } from './ipv4.ts'

/** The IPv4 side of one network namespace, as read in one go. */
export interface NetworkView {
  /** Addresses that are its own. */
  readonly addresses: ReadonlySet<string>
  /** Of the main table, as `routeKey` writes them. */
  readonly routes: ReadonlySet<string>
}

/** What a bridge should be. */
export interface BridgeForm {
  readonly bridge: string
  readonly gateway: string
  readonly subnet: string
  /** Addresses of services that it has besides. */
  readonly services: readonly string[]
  /** `undefined`: as it comes. */
  readonly mtu: number | undefined
}

/** The host's end of a veth, and where it should hang. */
export interface PortForm {
  readonly host: string
  readonly bridge: string
  readonly group: number
}

const IFF_UP = 1

/** `/proc/<pid>/net` needs no spawn and no setns; `null` when the process is gone. Never waits. */
export function readNetwork(kernel: Kernel, process: number | 'self'): NetworkView | null {
  const trie = kernel.readNow(`/proc/${process}/net/fib_trie`)
  const routes = kernel.readNow(`/proc/${process}/net/route`)
  if (trie === null || routes === null) return null
  return {
    addresses: new Set(
      [...trie.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL/g)].map(([, address = '']) => address),
    ),
    routes: new Set(
      routes.split('\n').map((line) => {
        const [device, destination, gateway, , , , , mask] = line.split(/\s+/)
        return [device, destination, mask, gateway].join(' ')
      }),
    ),
  }
}

/** All that `bridgeDrift` reads, its view of the host included. */
export const bridgeFiles = (bridges: readonly Pick<BridgeForm, 'bridge'>[]): readonly string[] => [
  ...['fib_trie', 'route'].map((name) => `/proc/self/net/${name}`),
  ...bridges.flatMap(({ bridge }) => [
    ...['flags', 'address', 'mtu'].map((name) => `/sys/class/net/${bridge}/${name}`),
    ...settingsOf(bridge).map(({ path }) => path),
  ]),
]

/** All that `portDrift` reads. */
export const portFiles = (host: string): readonly string[] => [flagsOf(host), groupOf(host)]

const groupOf = (link: string): string => `/sys/class/net/${link}/netdev_group`
const flagsOf = (link: string): string => `/sys/class/net/${link}/flags`

const settingsOf = (bridge: string) =>
  [
    ['ip_forward', 'ip_forward'],
    ...['route_localnet', 'rp_filter', 'forwarding'].map((key) => [
      `${key} of bridge ${bridge}`,
      `conf/${bridge}/${key}`,
    ]),
  ].map(([name, path]) => ({ name, path: `/proc/sys/net/ipv4/${path}` }))

/** What a bridge lacks to be as it was made; `null`: nothing. */
export function bridgeDrift(
  kernel: Kernel,
  host: NetworkView,
  { bridge, gateway, subnet, services, mtu }: BridgeForm,
): string | null {
  const flags = kernel.readNow(flagsOf(bridge))
  if (flags === null) return `bridge ${bridge} is gone`
  if ((Number(flags) & IFF_UP) === 0) return `bridge ${bridge} is down`
  const { prefix } = parseCidr(subnet)
  if (!host.addresses.has(gateway) || !host.routes.has(connectedRoute(bridge, subnet)))
    return `bridge ${bridge} lost its address ${gateway}/${prefix}`
  const lost = services.find((address) => !host.addresses.has(address))
  if (lost !== undefined) return `bridge ${bridge} lost its address ${lost}/32`
  const link = { address: macAddress(gateway), ...(mtu === undefined ? {} : { mtu: String(mtu) }) }
  for (const [name, wanted] of Object.entries(link)) {
    const now = kernel.readNow(`/sys/class/net/${bridge}/${name}`)?.trim() ?? wanted
    if (now !== wanted) return `${name} of bridge ${bridge} was ${now}, should be ${wanted}`
  }
  for (const { name, path } of settingsOf(bridge)) {
    const now = kernel.readNow(path)?.trim() ?? '1'
    if (now !== '1') return `${name} was ${now}, should be 1`
  }
  return null
}

/** The same for a bridge's side of IPv6. */
export function bridgeDrift6(
  kernel: Kernel,
  bridge: string,
  addresses: readonly string[],
): string | null {
  const lost = addresses.find((address) => !hasAddress6(kernel, 'self', address))
  if (lost !== undefined) return `bridge ${bridge} lost its address ${lost}`
  const now = kernel.readNow('/proc/sys/net/ipv6/conf/all/forwarding')?.trim() ?? '1'
  return now === '1' ? null : `forwarding of IPv6 was ${now}, should be 1`
}

/** By `/proc/<pid>/net/if_inet6`: 32 digits of each address. */
export function hasAddress6(kernel: Kernel, process: number | 'self', address: string): boolean {
  const text = kernel.readNow(`/proc/${process}/net/if_inet6`)
  // Of who has gone nothing is known.
  if (text === null) return true
  return text.includes(hex6(address))
}

/** By `/proc/<pid>/net/ipv6_route`: target, source, next hop, and more. Of who has gone nothing is known. */
export function hasDefaultRoute6(
  kernel: Kernel,
  process: number,
  { device, gateway }: { readonly device: string; readonly gateway: string },
): boolean {
  const text = kernel.readNow(`/proc/${process}/net/ipv6_route`)
  const any = `${'0'.repeat(32)} 00`
  return (
    text === null ||
    text
      .split('\n')
      .some(
        (line) => line.startsWith(`${any} ${any} ${hex6(gateway)} `) && line.endsWith(` ${device}`),
      )
  )
}

const hex6 = (address: string): string => (parseIpv6(address) ?? 0n).toString(16).padStart(32, '0')

/** Names of interfaces in a process's network; `null` when it is gone. */
export function interfacesOf(kernel: Kernel, process: number): ReadonlySet<string> | null {
  const text = kernel.readNow(`/proc/${process}/net/dev`)
  return text === null
    ? null
    : new Set([...text.matchAll(/^\s*(\S+):/gm)].map(([, name = '']) => name))
}

/** Ports of a bridge now; without one, none. */
export const portsOf = (kernel: Kernel, bridge: string): ReadonlySet<string> =>
  new Set(kernel.listNow(`/sys/class/net/${bridge}/brif`))

/** The same for the host's end of a veth; `ports` are those of its bridge. */
export function portDrift(
  kernel: Kernel,
  { host, bridge, group }: PortForm,
  ports: ReadonlySet<string>,
): string | null {
  const flags = kernel.readNow(flagsOf(host))
  if (flags === null) return `veth ${host} is gone`
  if (!ports.has(host)) return `veth ${host} was not on bridge ${bridge}`
  if ((Number(flags) & IFF_UP) === 0) return `veth ${host} was down`
  const now = Number(kernel.readNow(groupOf(host)) ?? group)
  return now === group ? null : `veth ${host} was of group ${now}, should be ${group}`
}

/** The way out of a container. */
export const defaultRoute = (device: string, gateway: string): string =>
  routeKey(device, { destination: '0.0.0.0', prefix: 0, gateway })

function connectedRoute(device: string, subnet: string): string {
  const { first, prefix } = parseCidr(subnet)
  return routeKey(device, { destination: formatAddress(first), prefix, gateway: '0.0.0.0' })
}

function routeKey(
  device: string,
  route: { readonly destination: string; readonly prefix: number; readonly gateway: string },
): string {
  const mask = route.prefix === 0 ? 0 : (2 ** 32 - 2 ** (32 - route.prefix)) >>> 0
  const [destination, gateway] = [route.destination, route.gateway].map((a) => hex(parseAddress(a)))
  return [device, destination, hex(mask), gateway].join(' ')
}

/** As the kernel prints a `__be32`: its bytes in the order of the machine. */
function hex(address: number): string {
  const digits = address.toString(16).padStart(8, '0').toUpperCase()
  return endianness() === 'BE' ? digits : (digits.match(/../g) ?? []).reverse().join('')
}
