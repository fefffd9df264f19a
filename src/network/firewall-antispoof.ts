import { parseIpv6 } from '../model/ipv6.ts'
import { linkGroup, linkGroups } from './bridge.ts'
import type { Chain } from './firewall-base.ts'
import { address6 } from './ipam6.ts'
import { formatAddress, parseAddress } from './ipv4.ts'
import { macWord, numberWord } from './words.ts'

/**
 * Who a container is on a network. Policies go by addresses, so where there are some, a container sends
 * with its own ones only: in frames, in packets, and in what it tells its neighbours about who has what.
 */
export interface Identity {
  readonly address: string
  readonly mac: string
  readonly address6: string | null
}

/** Sets of the table of family `bridge`. A port is told by its link's group: see `linkGroup`. */
const SETS = {
  senders: 'typeof iifgroup . ether saddr . ip saddr',
  senders6: 'typeof iifgroup . ether saddr . ip6 saddr',
  /** RFC 4861, section 4.4: the target of an advertisement comes after eight bytes. */
  claims6: 'typeof iifgroup . @th,64,128',
} as const

type SetName = keyof typeof SETS

/** `<set> <element>`, as nft has it. */
export type IdentityElement = string

const BY_ITSELF = 'iifgroup . ether saddr . ip6 saddr @senders6'

/** What is not let through is dropped: what neither asks for an address nor has one is in no policy's sight. */
export const ANTISPOOF_CHAINS: readonly Chain[] = [
  {
    name: 'bound6',
    hook: null,
    rules: [
      {
        match: `icmpv6 type nd-neighbor-advert iifgroup . @th,64,128 @claims6 ${BY_ITSELF} accept`,
        comment: 'says that it has its own address, ipv6',
      },
      {
        // Who asks for a neighbour's in the manner of one that looks whether it is free takes it from it.
        match:
          'ip6 saddr :: icmpv6 type nd-neighbor-solicit iifgroup . @th,64,128 != @claims6 drop',
        comment: 'looks whether its own address is free',
      },
      {
        match: `icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report } ${BY_ITSELF} accept`,
        comment: 'asks for others',
      },
      { match: 'icmpv6 type 133-137 drop', comment: 'no router, and nobody else' },
      {
        match: `ip6 saddr != { ::, fe80::/10 } ${BY_ITSELF} meta pkttype { host, other } return`,
        comment: 'by its own address, ipv6',
      },
      { match: 'drop', comment: 'another address, or to many, ipv6' },
    ],
  },
  {
    name: 'bound',
    hook: null,
    rules: [
      {
        match:
          'iifgroup . ether saddr . arp saddr ip @senders iifgroup . arp saddr ether . arp saddr ip @senders accept',
        comment: 'asks for others, and says that it has its own address',
      },
      {
        match: 'iifgroup . ether saddr . ip saddr @senders meta pkttype { host, other } return',
        comment: 'by its own address',
      },
      { match: 'ether type ip6 goto bound6', comment: 'ipv6' },
      { match: 'drop', comment: 'another address, or to many' },
    ],
  },
]

/** Everything that the table has to know of a container, so that what it sends comes through. */
export function identityElements({
  address,
  address6: six,
  ...identity
}: Identity): readonly IdentityElement[] {
  const mac = macWord(identity.mac)
  const port = numberWord(linkGroup(address))
  const own = six === null ? [] : [address6(six), linkLocal(mac)]
  return [
    element('senders', port, mac, formatAddress(parseAddress(address))),
    // Who looks whether an address is free has none (RFC 4862, section 5.4.2).
    ...(six === null ? [] : [...own, '::'].map((each) => element('senders6', port, mac, each))),
    ...own.map((each) => element('claims6', port, digits(each))),
  ]
}

const element = (set: SetName, ...words: readonly string[]): IdentityElement =>
  `${set} ${words.join(' . ')}`

/** What the kernel makes of a MAC by itself (RFC 4291, appendix A). */
function linkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac
    .split(':')
    .map((byte) => parseInt(byte, 16))
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f]
  return address6(`fe80::${words.map((word) => word.toString(16)).join(':')}`)
}

const digits = (address: string): string =>
  `0x${(parseIpv6(address) ?? 0n).toString(16).padStart(32, '0')}`

/** The sets, inside of the table's text. */
export const identitySets = (elements: readonly IdentityElement[]): readonly string[] =>
  setNames.flatMap((set) => [
    `  set ${set} {`,
    `    ${SETS[set]}`,
    ...(of(set, elements).length === 0
      ? []
      : [`    elements = { ${of(set, elements).join(', ')} }`]),
    '  }',
  ])

/** Lines that make a table that is there know what `identityChange` says. */
export const identityScript = (table: string, { added, gone }: IdentityChange): readonly string[] =>
  (
    [
      ['delete', gone],
      ['add', added],
    ] as const
  ).flatMap(([verb, elements]) =>
    setNames.flatMap((set) =>
      of(set, elements).length === 0
        ? []
        : [`${verb} element bridge ${table} ${set} { ${of(set, elements).join(', ')} }`],
    ),
  )

export interface IdentityChange {
  readonly added: readonly IdentityElement[]
  readonly gone: readonly IdentityElement[]
}

/** Of these containers' ports nothing but this is known afterwards; who is on other ports is not asked. */
export function identityChange(
  known: Iterable<IdentityElement>,
  identities: readonly Identity[],
): IdentityChange {
  const before = new Set(known)
  const wanted = new Set(identities.flatMap(identityElements))
  const ports = new Set([...wanted].map(portOf))
  return {
    added: [...wanted].filter((each) => !before.has(each)),
    gone: [...before].filter((each) => ports.has(portOf(each)) && !wanted.has(each)),
  }
}

/** The group of the port that an element is about. */
const portOf = (element: IdentityElement): string => element.split(' ')[1] ?? ''

const setNames = Object.keys(SETS) as readonly SetName[]

const of = (set: SetName, elements: readonly IdentityElement[]): readonly string[] =>
  elements.flatMap((each) => (each.startsWith(`${set} `) ? each.slice(set.length + 1) : []))

/** Those of containers on these networks. */
export const identitiesWithin = (
  subnets: readonly string[],
  elements: Iterable<IdentityElement>,
): readonly IdentityElement[] => {
  const ranges = subnets.map(linkGroups)
  return [...elements].filter((each) => {
    const group = Number(portOf(each))
    return ranges.some(({ first, last }) => first <= group && group <= last)
  })
}

/** What is used of libnftables-json(5); every key may be missing. */
interface NftObject {
  readonly set?: { readonly name?: string; readonly elem?: readonly unknown[] }
}

/** The elements of a table's objects. */
export const identitiesOf = (objects: readonly NftObject[]): ReadonlySet<IdentityElement> =>
  new Set(
    objects.flatMap(({ set }) =>
      setNames
        .filter((name) => name === set?.name)
        .flatMap((name) =>
          (set?.elem ?? []).map((each) => {
            const { concat = [] } = (each ?? {}) as { concat?: readonly unknown[] }
            return element(name, ...concat.map(String))
          }),
        ),
    ),
  )
