import { formatBlock6 } from '../model/ipv6.ts'
import { linkGroups } from './bridge.ts'
import {
  ANTISPOOF_CHAINS,
  type IdentityElement,
  identitiesWithin,
  identitySets,
} from './firewall-antispoof.ts'
import { type Chain, chainScript } from './firewall-base.ts'
import { addressWord, projectWord } from './firewall-elements.ts'
import { block6 } from './ipam6.ts'
import { formatCidr, parseCidr } from './ipv4.ts'
import { macWord } from './words.ts'

/**
 * What of a bridge's own frames goes through this host's routing.
 *
 * A client asks a service's address, and a replica on the same bridge answers. The answer would cross
 * the bridge from port to port, where nothing gives it the service's address back, and the client
 * would refuse it. Three ways were measured: masquerading, which shows every replica the gateway in
 * place of its client; br_netfilter, which keeps the client but is a switch for all bridges of the
 * machine, virtual machines' too; and this one, which keeps it and concerns this network only: frames
 * from port to port are handed to the bridge itself, and routed back out. A network is told by the
 * port's name and the address asked for, as not every kernel can say which bridge a frame is on.
 *
 * Where there are policies, or other machines, that is every frame. Else it is what replicas send, but
 * for what belongs to a conversation that is known to be direct: one that a client or a replica has
 * begun by the other's own address, which is seen here. Not to know of one only costs it the way round,
 * so that nothing is lost with a table made anew, a set that is full, or after a minute of silence.
 */
export interface Lift {
  /** The project. */
  readonly owner: string
  /** CIDR, of either family. */
  readonly subnet: string
  /** The bridge's own. */
  readonly mac: string
  /**
   * Not of this machine's containers: what other machines send to `subnet`, its own part of a network
   * that spans them. What is meant for a third one is not handed to this host, which would send it on.
   */
  readonly ofPeers?: true
  /** `subnet` is a replica's address: only what it sends, and only to who asked for its service. */
  readonly ofReplica?: true
  /** Whoever is in `subnet`, of IPv4, sends with its own addresses only: see `Identity`. */
  readonly isBound?: true
}

/** One of IP's versions; `six` ends the names of what is its own. */
interface Family {
  readonly ip: 'ip' | 'ip6'
  readonly six: '' | '6'
  /** No piece of a datagram. */
  readonly whole: string
}

const FAMILIES: readonly Family[] = [
  { ip: 'ip', six: '', whole: 'ip frag-off & 0x3fff == 0' },
  { ip: 'ip6', six: '6', whole: 'exthdr frag missing' },
]

/** Who is no replica, the replica, and the ports of both: as a frame to the replica has them, and one from it. */
const to = (ip: string) => `${ip} saddr . ${ip} daddr . meta l4proto . th sport . th dport`
const from = (ip: string) => `${ip} daddr . ${ip} saddr . meta l4proto . th dport . th sport`

const answers = ({ ip, six, whole }: Family): Chain['rules'] => [
  {
    // Pieces of a datagram must not go two ways: nobody could put them together.
    match: `${whole} ${from(ip)} @direct${six} goto asked${six}`,
    comment: 'an answer to who asked the replica itself',
  },
  {
    match: `tcp flags & (syn | ack | rst) == syn update @direct${six} { ${from(ip)} } goto asked${six}`,
    comment: 'a replica begins by itself',
  },
  {
    match: `iifname "pv*" ether daddr set ${ip} saddr map @answers${six} meta pkttype set host accept`,
    comment: 'by this host, so that answers find the way back',
  },
]

const asked = ({ ip, six }: Family): Chain['rules'] => [
  { match: `${ip} daddr != @replicas${six} accept`, comment: 'by a replica, of somebody else' },
  {
    // What is known need not be said again each time.
    match: 'tcp flags & (fin | syn | rst) == 0x0 numgen random mod 16 != 0 return',
    comment: 'goes on',
  },
  {
    match: `tcp flags & (fin | rst) != 0x0 update @direct${six} { ${to(ip)} timeout 5s } return`,
    comment: 'about to end',
  },
  {
    match: `meta l4proto { tcp, udp } update @direct${six} { ${to(ip)} }`,
    comment: 'a replica by its own address',
  },
]

const byReplicas = ({ ip, six }: Family): Chain['rules'] => [
  { match: `${ip} saddr @replicas${six} goto answers${six}`, comment: 'of a replica' },
  { match: `${ip} daddr @replicas${six} goto asked${six}`, comment: 'to a replica' },
]

/** A client may use a port for the one after the other. */
const output = ({ ip, six }: Family): Chain['rules'] => [
  {
    match: `ether type ${ip} ${ip} daddr @replicas${six} meta l4proto { tcp, udp } delete @direct${six} { ${to(ip)} }`,
    comment: 'by its service: not direct any more',
  },
]

/** Only what these lifts need: every frame of every bridge of the machine comes by. */
export function chainsFor(lifts: readonly Lift[]): readonly Chain[] {
  const has = (map: string) => MAPS.some((one) => one.name === map && lifts.some(one.has))
  const by = (key: string, port: string) =>
    `iifname "${port}" ether daddr set ${key} meta pkttype set host accept`
  const spread = FAMILIES.filter(({ six }) => has(`answers${six}`))
  const replicas = (ip: Family['ip']) =>
    spread.flatMap((family) => (family.ip === ip ? byReplicas(family) : []))
  const bound = lifts.some(({ isBound }) => isBound)
  const four = [
    ...(has('lifted')
      ? [{ match: by('ip daddr map @lifted', 'pv*'), comment: 'all of a network' }]
      : []),
    ...(has('lifted_peers')
      ? [{ match: by('ip daddr map @lifted_peers', 'px*'), comment: 'what peers send' }]
      : []),
    ...replicas('ip'),
    ...(bound ? [OTHERWISE] : []),
  ]
  const six = [
    ...(has('lifted6')
      ? [{ match: by('ip6 daddr map @lifted6', 'pv*'), comment: 'all of a network, ipv6' }]
      : []),
    ...replicas('ip6'),
    ...(bound && has('lifted6') ? [OTHERWISE] : []),
  ]
  const outputs = spread.flatMap(output)
  const hooked = (hook: string) => ({ type: 'filter', hook, priority: -300 })
  return [
    ...spread.flatMap((family) => [
      { name: `asked${family.six}`, hook: null, rules: asked(family) },
      { name: `answers${family.six}`, hook: null, rules: answers(family) },
    ]),
    ...(bound ? ANTISPOOF_CHAINS : []),
    { name: 'four', hook: null, rules: four },
    { name: 'six', hook: null, rules: six.length === 0 ? [] : [NEIGHBOURS, ...six] },
    {
      name: 'prerouting',
      hook: hooked('prerouting'),
      rules: [
        {
          // The receiver takes one of VLAN 0 for a frame without a tag, the rules below do not.
          match: 'iifname "pv*" ether type { 8021q, 8021ad } drop',
          comment: 'no tags of containers',
        },
        ...(bound
          ? [{ match: 'iifgroup @bound jump bound', comment: 'where policies are: as itself only' }]
          : []),
        { match: 'meta pkttype != other accept', comment: 'to this host, or to everybody' },
        { match: 'ether type vmap { ip : goto four, ip6 : goto six }', comment: 'by family' },
      ],
    },
    ...(outputs.length === 0 ? [] : [{ name: 'output', hook: hooked('output'), rules: outputs }]),
  ]
}

/** Neither for this host nor handed to it: nobody would see it. */
const OTHERWISE = {
  match: 'iifgroup @bound ether daddr != @routers drop',
  comment: 'past the policies',
}

/** With a hop less, neighbours would not believe it (RFC 4861, section 7.1). */
const NEIGHBOURS = {
  match: 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept',
  comment: 'neighbours find each other by themselves',
}

export const MAPS: readonly {
  readonly name: string
  readonly type: string
  readonly has: (lift: Lift) => boolean
}[] = [
  {
    name: 'lifted',
    type: 'ipv4_addr : ether_addr; flags interval',
    has: ({ subnet, ofPeers, ofReplica }) => !subnet.includes(':') && !ofPeers && !ofReplica,
  },
  {
    name: 'lifted6',
    type: 'ipv6_addr : ether_addr; flags interval',
    has: ({ subnet, ofReplica }) => subnet.includes(':') && !ofReplica,
  },
  {
    name: 'lifted_peers',
    type: 'ipv4_addr : ether_addr; flags interval',
    has: ({ ofPeers }) => ofPeers === true,
  },
  ...FAMILIES.map(({ six }) => ({
    name: `answers${six}`,
    type: `${six === '' ? 'ipv4' : 'ipv6'}_addr : ether_addr`,
    has: ({ subnet, ofReplica }: Lift) =>
      ofReplica === true && subnet.includes(':') === (six !== ''),
  })),
]

/** The whole table of family `bridge`, made anew; gone when no bridge is left. */
export function liftScript(
  table: string,
  lifts: readonly Lift[],
  {
    present,
    identities,
  }: { readonly present: boolean; readonly identities: readonly IdentityElement[] },
): readonly string[] {
  const removal = [`add table bridge ${table}`, `delete table bridge ${table}`]
  if (lifts.length === 0) return present ? removal : []
  return [
    ...removal,
    `table bridge ${table} {`,
    ...MAPS.flatMap(({ name, type, has }) => [
      `  map ${name} {`,
      `    type ${type};`,
      ...elementsLine(mapElements(lifts.filter(has))),
      '  }',
    ]),
    ...FAMILIES.flatMap((family) => setsScript(family, lifts)),
    ...boundSets(lifts, identities),
    ...chainsFor(lifts).flatMap(chainScript),
    '}',
  ]
}

function setsScript({ six }: Family, lifts: readonly Lift[]): readonly string[] {
  const type = six === '' ? 'ipv4_addr' : 'ipv6_addr'
  const replicas = MAPS.flatMap(({ name, has }) =>
    name === `answers${six}` ? lifts.filter(has).map(blockWord) : [],
  )
  return [
    `  set replicas${six} {`,
    `    type ${type};`,
    ...elementsLine([...new Set(replicas)]),
    '  }',
    `  set direct${six} {`,
    `    type ${type} . ${type} . inet_proto . inet_service . inet_service;`,
    '    size 65536; flags dynamic, timeout; timeout 1m;',
    '  }',
  ]
}

function boundSets(
  lifts: readonly Lift[],
  identities: readonly IdentityElement[],
): readonly string[] {
  const bound = lifts.filter(({ isBound }) => isBound)
  if (bound.length === 0) return []
  const blocks = [...new Set(bound.map(({ subnet }) => subnet))]
  const routers = new Set(bound.map(({ mac }) => macWord(mac)))
  return [
    '  set bound {',
    '    typeof iifgroup; flags interval;',
    ...elementsLine(
      bySubnet(bound).map((same) => {
        const { first, last } = linkGroups(same[0].subnet)
        return `${first}-${last} ${ownersText(same)}`
      }),
    ),
    '  }',
    '  set routers {',
    '    type ether_addr;',
    ...elementsLine([...routers]),
    '  }',
    ...identitySets(identitiesWithin(blocks, identities)),
  ]
}

const elementsLine = (elements: readonly string[]): readonly string[] =>
  elements.length === 0 ? [] : [`    elements = { ${elements.join(', ')} }`]

/** What several projects want lifted is one element: the comment names them all. */
const mapElements = (lifts: readonly Lift[]): readonly string[] =>
  bySubnet(lifts).map(
    (same) => `${blockWord(same[0])} ${ownersText(same)} : ${macWord(same[0].mac)}`,
  )

export function bySubnet(lifts: readonly Lift[]): readonly (readonly [Lift, ...Lift[]])[] {
  const blocks = new Map<string, [Lift, ...Lift[]]>()
  for (const lift of lifts) {
    const same = blocks.get(lift.subnet)
    if (same === undefined) blocks.set(lift.subnet, [lift])
    else same.push(lift)
  }
  return [...blocks.values()]
}

const ownersText = (lifts: readonly Lift[]): string =>
  `comment "${[...new Set(lifts.map(({ owner }) => projectWord(owner)))].sort().join(' ')}"`

function blockWord({ subnet, ofReplica }: Lift): string {
  if (ofReplica) return addressWord(subnet)
  return subnet.includes(':') ? formatBlock6(block6(subnet)) : formatCidr(parseCidr(subnet))
}

export const sameLift = (a: Lift, b: Lift): boolean => liftText(a) === liftText(b)

const liftText = ({ owner, subnet, mac, ofPeers, ofReplica, isBound }: Lift): string =>
  `${owner} ${subnet} ${mac} ${ofPeers ?? false} ${ofReplica ?? false} ${isBound ?? false}`
