import { isIPv4 } from 'node:net'
import { Refusal } from './context.ts'
import { shown } from './problem.ts'

/** An IPv4 subnet as numbers. */
export interface Subnet {
  /** Canonical, for example `10.77.1.0/24`. */
  readonly cidr: string
  readonly first: number
  readonly last: number
}

export function parseSubnet(text: string, { longest = 29 } = {}): Subnet {
  const [address = '', bits, ...more] = text.split('/')
  const prefix = bits !== undefined && /^[0-9]{1,2}$/.test(bits) ? Number(bits) : Number.NaN
  if (text.includes(':'))
    throw new Refusal('a subnet of IPv6 stands under `ipam.config`, with `enable_ipv6: true`')
  if (!isIPv4(address) || more.length > 0 || !(prefix >= 0 && prefix <= 32))
    throw new Refusal(`expected a subnet such as \`10.77.1.0/24\`, got ${shown(text)}`)
  if (prefix < 8 || prefix > longest)
    throw new Refusal(`a subnet's prefix is 8 to ${longest}, got ${prefix}`)
  const size = 2 ** (32 - prefix)
  const first = Math.floor(toNumber(address) / size) * size
  const cidr = `${toText(first)}/${prefix}`
  if (toText(first) !== address)
    throw new Refusal(`${shown(text)} has host bits set`, `say \`${cidr}\``)
  const last = first + size - 1
  if (NO_HOSTS.some(([from, to]) => first <= toNumber(to) && toNumber(from) <= last))
    throw new Refusal(
      `${shown(text)} has no addresses for hosts`,
      'take a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16',
    )
  return { cidr, first, last }
}

/** RFC 6890: this host, loopback, link-local, and from multicast to broadcast. */
const NO_HOSTS = [
  ['0.0.0.0', '0.255.255.255'],
  ['127.0.0.0', '127.255.255.255'],
  ['169.254.0.0', '169.254.255.255'],
  ['224.0.0.0', '255.255.255.255'],
] as const

export function subnetsOverlap(a: Subnet, b: Subnet): boolean {
  return a.first <= b.last && b.first <= a.last
}

/** Whether a host can have the address: in the subnet, and neither its first nor its last. */
export function addressIn(address: string, subnet: Subnet): boolean {
  const at = toNumber(address)
  return at > subnet.first && at < subnet.last
}

/** How many hosts' addresses of a subnet are in `part` of it, without those of `except`. */
export function roomIn(subnet: Subnet, part: Subnet, except: readonly string[]): number {
  const [first, last] = [
    Math.max(part.first, subnet.first + 1),
    Math.min(part.last, subnet.last - 1),
  ]
  const taken = new Set(except.map(toNumber))
  return last - first + 1 - [...taken].filter((at) => first <= at && at <= last).length
}

/** The address that a network's gateway has when none is given. */
export function firstAddress(subnet: Subnet): string {
  return toText(subnet.first + 1)
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

/** `10.60.0.0/18` and the like: one of so many equal parts, a power of two. */
export function partOf({ first, last }: Subnet, index: number, parts: number): Subnet {
  const size = (last - first + 1) / parts
  const start = first + index * size
  return {
    cidr: `${toText(start)}/${32 - Math.log2(size)}`,
    first: start,
    last: start + size - 1,
  }
}

function toText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}
