import { createHash } from 'node:crypto'
import { PakError } from '../errors.ts'
import { ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import {
  type Block6,
  formatBlock6,
  formatIpv6,
  meet6,
  parseBlock6,
  parseIpv6,
} from '../model/ipv6.ts'
import { parseAddress, parseCidr } from './ipv4.ts'

/** Checked and in its one form. Throws `network`. */
export const address6 = (text: string): string => formatIpv6(number6(text))

export function block6(text: string): Block6 {
  const block = parseBlock6(text)
  if (block !== null) return block
  throw new PakError('network', `subnet \`${text}\`: not an IPv6 block such as fd00:1::/64`)
}

function number6(text: string): bigint {
  const at = parseIpv6(text)
  if (at !== null) return at
  throw new PakError('network', `address \`${text}\`: not an IPv6 address`)
}

/** The first usable address; what is all zeroes is every router's (RFC 4291, section 2.6.1). */
export const gateway6Of = (subnet: string): string => formatIpv6(block6(subnet).first + 1n)

/**
 * A /64 from fd00::/8 (RFC 4193) that follows from `seed`, so that a network that is made anew has it
 * again; the next one where that shares an address with `taken` (CIDRs).
 */
export function chooseSubnet6(seed: string, taken: readonly string[]): string {
  const blocks = taken.flatMap((text) => parseBlock6(text) ?? [])
  for (let attempt = 0; attempt < 1000; attempt++) {
    const hash = createHash('sha256').update(`${seed}/${attempt}`).digest('hex')
    const block = block6(`${`fd${hash.slice(0, 14)}`.match(/.{4}/g)?.join(':')}::/64`)
    if (!blocks.some((other) => meet6(block, other))) return formatBlock6(block)
  }
  throw new PakError('subnet_taken', 'choose an IPv6 subnet: every one that was tried is taken', {
    hint: 'declare one under `networks.<name>.ipam`',
  })
}

export interface LeaseRequest6 {
  readonly subnet: string
  readonly gateway: string
  /** Holder -> address, as recorded; addresses set aside by the file are among them. */
  readonly leases: Readonly<Record<string, string>>
  readonly container: string
  readonly wanted: string | null
  /** The container's IPv4 address on the network, and the subnet that it is of. */
  readonly ipv4: { readonly address: string; readonly subnet: string }
}

/**
 * The wanted address, else the one that the container had, else the one at the same place in its subnet
 * as its IPv4 address, or the next free one. Throws `conflict` when the wanted one is not to be had.
 */
export function lease6(request: LeaseRequest6): string {
  const { first, last } = block6(request.subnet)
  const others = Object.entries(request.leases).filter(([holder]) => holder !== request.container)
  const held = new Map(others.map(([holder, address]) => [number6(address), holder]))
  held.set(number6(request.gateway), 'the gateway').set(first, 'every router')
  const free = (at: bigint) => at > first && at <= last && !held.has(at)
  if (request.wanted !== null) {
    const at = number6(request.wanted)
    if (free(at)) return formatIpv6(at)
    const reason = held.has(at) ? `it is ${held.get(at)}'s` : `it is not in ${request.subnet}`
    throw new PakError('conflict', `lease \`${request.wanted}\`: ${reason}`)
  }
  const own = Object.hasOwn(request.leases, request.container)
    ? request.leases[request.container]
    : undefined
  if (own !== undefined && free(number6(own))) return own
  const { address, subnet } = request.ipv4
  const offset = BigInt(parseAddress(address) - parseCidr(subnet).first)
  // More candidates than holders: one of them is free unless the block itself is full.
  for (let step = 0n; step <= BigInt(held.size); step++) {
    const at = first + ((offset + step) % (last - first + 1n))
    if (free(at)) return formatIpv6(at)
  }
  throw new PakError(
    'subnet_taken',
    `lease an address for \`${request.container}\`: none left in ${request.subnet}`,
  )
}

/** What this host's routes take of IPv6, as CIDRs; nothing of link-local, multicast and default routes. */
export async function hostRoutes6(
  kernel: Kernel,
  { exceptDevices = [] }: { readonly exceptDevices?: readonly string[] } = {},
): Promise<string[]> {
  const answer = await ipJson(kernel, ['-6', 'route', 'show', 'table', 'all'])
  if (!Array.isArray(answer)) return []
  return answer.flatMap((route: unknown) => {
    if (route === null || typeof route !== 'object' || !('dst' in route)) return []
    if ('dev' in route && exceptDevices.includes(String(route.dev))) return []
    const block = parseBlock6(String(route.dst))
    return block === null || block.prefix < 8 || isLocalScope(block) ? [] : formatBlock6(block)
  })
}

const SCOPES = ['fe80::/10', 'ff00::/8', '::1/128'].map(block6)
const isLocalScope = (block: Block6): boolean => SCOPES.some((scope) => meet6(scope, block))
