import ipaddr from 'ipaddr.js'
import { PakError } from '../errors.ts'

/** A block of addresses as numbers: comparing and counting is plain arithmetic. */
export interface Cidr {
  /** First address of the block. */
  readonly first: number
  readonly last: number
  readonly prefix: number
}

/** Dotted decimal with four parts, nothing else (no octal, no short forms). Throws `network`. */
export function parseAddress(text: string): number {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) || /(^|\.)0\d/.test(text))
    throw new PakError('network', `address \`${text}\`: not an IPv4 address`)
  return ipaddr.IPv4.parse(text)
    .octets.map(Number)
    .reduce((sum, octet) => sum * 256 + octet, 0)
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.')
}

export const isAddress = (text: string): boolean =>
  ipaddr.IPv4.isValidFourPartDecimal(text) && !/(^|\.)0\d/.test(text)

/** `10.1.0.0/16`; a bare address is a block of one; host bits are cut off. Throws `network`. */
export function parseCidr(text: string): Cidr {
  const [address = '', length = '32', ...rest] = text.split('/')
  if (!/^\d{1,2}$/.test(length) || Number(length) > 32 || rest.length > 0)
    throw new PakError('network', `subnet \`${text}\`: not an IPv4 block such as 10.77.1.0/24`)
  const prefix = Number(length)
  const size = 2 ** (32 - prefix)
  const first = Math.floor(parseAddress(address) / size) * size
  return { first, last: first + size - 1, prefix }
}

export const formatCidr = ({ first, prefix }: Cidr): string => `${formatAddress(first)}/${prefix}`

/** Whether two blocks share an address. */
export function overlaps(a: string, b: string): boolean {
  const [one, other] = [parseCidr(a), parseCidr(b)]
  return one.first <= other.last && other.first <= one.last
}

export function contains(subnet: string, address: string): boolean {
  const { first, last } = parseCidr(subnet)
  const at = parseAddress(address)
  return first <= at && at <= last
}
