import { PakError } from '../errors.ts'
import { ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { type Cidr, formatAddress, formatCidr, isAddress, parseAddress, parseCidr } from './ipv4.ts'
import { serversOf } from './names.ts'

export { overlaps } from './ipv4.ts'

/**
 * Where subnets are picked from, in this order: Docker's own pools first, because people's VPNs and
 * routers already keep out of them, then small blocks high in 10/8.
 */
const POOLS = [
  { from: '172.17.0.0', prefix: 16, count: 15 },
  { from: '192.168.0.0', prefix: 20, count: 16 },
  { from: '10.200.0.0', prefix: 24, count: 14_336 },
]
/** A shorter prefix is a default route in disguise (VPNs split it in two): it takes nothing. */
const SHORTEST_PREFIX_THAT_COUNTS = 8

/** The first block of the pools that shares no address with `taken` (CIDRs). Throws `subnet_taken`. */
export function chooseSubnet({ taken }: { readonly taken: readonly string[] }): string {
  const blocks = taken.map(parseCidr)
  for (const pool of POOLS) {
    const size = 2 ** (32 - pool.prefix)
    const start = parseAddress(pool.from)
    for (let index = 0; index < pool.count; index++) {
      const first = start + index * size
      const last = first + size - 1
      if (!blocks.some((block) => block.first <= last && first <= block.last))
        return formatCidr({ first, last, prefix: pool.prefix })
    }
  }
  throw new PakError('subnet_taken', 'choose a subnet: every block of the pools is taken', {
    hint: 'declare one under `networks.<name>.subnet`',
  })
}

/** Whether a declared subnet is free. Throws `subnet_taken`, naming what it collides with. */
export function checkSubnet(subnet: string, taken: readonly string[]): void {
  const wanted = parseCidr(subnet)
  const hit = taken.find((block) => {
    const { first, last } = parseCidr(block)
    return first <= wanted.last && wanted.first <= last
  })
  if (hit !== undefined)
    throw new PakError('subnet_taken', `use subnet \`${subnet}\`: it overlaps \`${hit}\``, {
      hint: 'pick another under `networks.<name>.subnet`, or leave it out and pak picks one',
    })
}

/** The first usable address. Throws `network` when the block is too small to hold anything else. */
export function gatewayOf(subnet: string): string {
  return formatAddress(usable(subnet).first)
}

export interface LeaseRequest {
  readonly subnet: string
  readonly gateway: string
  /** Container -> address, as recorded on this network; the container's own may be among them. */
  readonly leases: Readonly<Record<string, string>>
  readonly container: string
  /** `ipv4_address` of the manifest. */
  readonly wanted: string | null
  /** Addresses that other containers declare and have not taken yet. */
  readonly reserved?: readonly string[]
  /** Take the highest free address in place of the lowest: far from those that people declare. */
  readonly fromTop?: boolean
  /** CIDR: only from here, but for a wanted one. */
  readonly range?: string
}

/**
 * The container's address on a network: the wanted one, else the one that it had, else the lowest
 * free one. Throws `conflict` when the wanted one is not to be had, `subnet_taken` when all are taken.
 */
export function lease(request: LeaseRequest): string {
  const range = usable(request.subnet)
  const { container, wanted } = request
  const others = Object.entries(request.leases).filter(([name]) => name !== container)
  const holders = new Map(others.map(([name, address]) => [parseAddress(address), name]))
  holders.set(parseAddress(request.gateway), 'the gateway')
  if (wanted !== null) return claim(wanted, range, holders)
  for (const address of request.reserved ?? []) {
    const at = parseAddress(address)
    if (!holders.has(at)) holders.set(at, 'another container')
  }
  const own = Object.hasOwn(request.leases, container) ? request.leases[container] : undefined
  if (own !== undefined && isFree(parseAddress(own), range, holders)) return own
  const free = firstFree(within(range, request.range), holders, request.fromTop ?? false)
  if (free !== null) return formatAddress(free)
  throw new PakError(
    'subnet_taken',
    `lease an address for \`${container}\`: none left in ${request.range ?? request.subnet}`,
  )
}

function within(usable: Cidr, range: string | undefined): Cidr {
  if (range === undefined) return usable
  const { first, last, prefix } = parseCidr(range)
  return { first: Math.max(first, usable.first), last: Math.min(last, usable.last), prefix }
}

function firstFree(
  { first, last }: Cidr,
  holders: ReadonlyMap<number, string>,
  fromTop: boolean,
): number | null {
  const [from, step] = fromTop ? [last, -1] : [first, 1]
  for (let at = from; at >= first && at <= last; at += step) if (!holders.has(at)) return at
  return null
}

function claim(wanted: string, range: Cidr, holders: ReadonlyMap<number, string>): string {
  const at = parseAddress(wanted)
  if (at < range.first || at > range.last)
    throw new PakError('conflict', `lease \`${wanted}\`: not a usable address of the network`, {
      hint: `the network has ${formatAddress(range.first)} to ${formatAddress(range.last)}`,
    })
  const holder = holders.get(at)
  if (holder !== undefined) throw new PakError('conflict', `lease \`${wanted}\`: it is ${holder}'s`)
  return wanted
}

const isFree = (at: number, range: Cidr, holders: ReadonlyMap<number, string>): boolean =>
  at >= range.first && at <= range.last && !holders.has(at)

/** Without the block's own and its broadcast address. */
function usable(subnet: string): Cidr {
  const { first, last, prefix } = parseCidr(subnet)
  if (prefix > 29)
    throw new PakError('network', `use subnet \`${subnet}\`: /29 is the smallest that is of use`)
  return { first: first + 1, last: last - 1, prefix }
}

/**
 * What this host's routes, addresses and name servers take, as CIDRs: a network over one of them
 * would cut the host off from it. `exceptDevices` leaves out what pak's own bridges take.
 */
export async function hostRoutes(
  kernel: Kernel,
  { exceptDevices = [] }: { readonly exceptDevices?: readonly string[] } = {},
): Promise<string[]> {
  const routes = parseRoutes(await ipJson(kernel, ['-4', 'route', 'show', 'table', 'all']))
  const resolvConf = (await kernel.readText('/etc/resolv.conf')) ?? ''
  const nameServers = serversOf(resolvConf).filter(isAddress)
  const taken = routes.filter(({ device }) => !exceptDevices.includes(device))
  return [...new Set([...taken.map(({ block }) => block), ...nameServers])].sort()
}

function parseRoutes(answer: unknown): { block: string; device: string }[] {
  if (!Array.isArray(answer)) return []
  return answer.flatMap((route: unknown) => {
    if (route === null || typeof route !== 'object' || !('dst' in route)) return []
    const block = String(route.dst)
    if (!/^\d+\.\d+\.\d+\.\d+(\/\d+)?$/.test(block)) return []
    if (parseCidr(block).prefix < SHORTEST_PREFIX_THAT_COUNTS) return []
    return [{ block, device: 'dev' in route ? String(route.dev) : '' }]
  })
}
