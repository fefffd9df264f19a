/** A block of IPv6 addresses, as numbers of 128 bits. */
export interface Block6 {
  readonly first: bigint
  readonly last: bigint
  readonly prefix: number
}

/** The number of an address (RFC 4291, section 2.2, without the form that ends in IPv4); `null`: it is none. */
export function parseIpv6(text: string): bigint | null {
  const halves = text.split('::')
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const given = head.length + tail.length
  if (halves.length > 2 || (halves.length === 1 ? given !== 8 : given > 7)) return null
  const groups = [...head, ...Array<string>(8 - given).fill('0'), ...tail]
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null
  return BigInt(`0x${groups.map((group) => group.padStart(4, '0')).join('')}`)
}

/** The one text of an address (RFC 5952), as the kernel's tools print it. */
export function formatIpv6(address: bigint): string {
  const digits = address.toString(16).padStart(32, '0').match(/.{4}/g) ?? []
  const groups = digits.map((group) => group.replace(/^0{1,3}/, ''))
  const [start, length] = longestZeros(groups)
  if (length < 2) return groups.join(':')
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`
}

function longestZeros(groups: readonly string[]): readonly [number, number] {
  let best: readonly [number, number] = [0, 0]
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === '0') length++
    if (length > best[1]) best = [start, length]
  }
  return best
}

/** `fd00:1::/64`, host bits cut off; a bare address is a block of one. `null`: it is none. */
export function parseBlock6(text: string): Block6 | null {
  const [address = '', length = '128', ...more] = text.split('/')
  const at = parseIpv6(address)
  const prefix = Number(length)
  if (at === null || more.length > 0 || !/^\d{1,3}$/.test(length) || prefix > 128) return null
  const size = 1n << BigInt(128 - prefix)
  const first = (at / size) * size
  return { first, last: first + size - 1n, prefix }
}

export const formatBlock6 = ({ first, prefix }: Block6): string => `${formatIpv6(first)}/${prefix}`

export const meet6 = (a: Block6, b: Block6): boolean => a.first <= b.last && b.first <= a.last
