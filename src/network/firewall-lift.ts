import { formatBlock6 } from '../model/ipv6.ts'
import { projectWord } from './firewall-elements.ts'
import { block6 } from './ipam6.ts'
import { formatCidr, parseCidr } from './ipv4.ts'

/**
 * A network whose containers' frames all go through this host's routing.
 *
 * A client asks a service's address, and a replica on the same bridge answers. The answer would cross
 * the bridge from port to port, where nothing gives it the service's address back, and the client
 * would refuse it. Three ways were measured: masquerading, which shows every replica the gateway in
 * place of its client; br_netfilter, which keeps the client but is a switch for all bridges of the
 * machine, virtual machines' too; and this one, which keeps it and concerns this network only: frames
 * from port to port are handed to the bridge itself, and routed back out. The network is told by the
 * port's name and the address asked for, as not every kernel can say which bridge a frame is on.
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
}

const RULES = [
  {
    match:
      'iifname "pv*" meta pkttype other ether type ip ether daddr set ip daddr map @lifted meta pkttype set host',
    comment: 'by this host, so that answers find the way back',
  },
  {
    // With a hop less, neighbours would not believe it (RFC 4861, section 7.1).
    match: 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept',
    comment: 'neighbours find each other by themselves',
  },
  {
    match:
      'iifname "pv*" meta pkttype other ether type ip6 ether daddr set ip6 daddr map @lifted6 meta pkttype set host',
    comment: 'the same of ipv6',
  },
  {
    match:
      'iifname "px*" meta pkttype other ether type ip ether daddr set ip daddr map @lifted_peers meta pkttype set host',
    comment: 'the same of what peers send',
  },
]
const CHAIN = { name: 'prerouting', type: 'filter', hook: 'prerouting', priority: -300 }

/** The whole table of family `bridge`, made anew; gone when no bridge is left. */
export function liftScript(
  table: string,
  lifts: readonly Lift[],
  { present }: { readonly present: boolean },
): readonly string[] {
  const removal = [`add table bridge ${table}`, `delete table bridge ${table}`]
  if (lifts.length === 0) return present ? removal : []
  return [
    ...removal,
    `table bridge ${table} {`,
    ...mapScript(
      'lifted',
      'ipv4_addr',
      lifts.filter(({ subnet, ofPeers }) => !subnet.includes(':') && ofPeers !== true),
    ),
    ...mapScript(
      'lifted6',
      'ipv6_addr',
      lifts.filter(({ subnet }) => subnet.includes(':')),
    ),
    ...mapScript(
      'lifted_peers',
      'ipv4_addr',
      lifts.filter(({ ofPeers }) => ofPeers === true),
    ),
    `  chain ${CHAIN.name} {`,
    `    type ${CHAIN.type} hook ${CHAIN.hook} priority ${CHAIN.priority}; policy accept;`,
    ...RULES.map(({ match, comment }) => `    ${match} comment "${comment}"`),
    '  }',
    '}',
  ]
}

function mapScript(name: string, type: string, lifts: readonly Lift[]): readonly string[] {
  // A network that several projects want lifted is one element: the comment names them all.
  const blocks = [...new Set(lifts.map(({ subnet }) => subnet))].map((subnet) =>
    lifts.filter((lift) => lift.subnet === subnet),
  )
  return [
    `  map ${name} {`,
    `    type ${type} : ether_addr; flags interval;`,
    ...(blocks.length === 0 ? [] : [`    elements = { ${blocks.map(elementText).join(', ')} }`]),
    '  }',
  ]
}

function elementText(lifts: readonly Lift[]): string {
  const { subnet = '', mac = '' } = lifts[0] ?? {}
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) throw new Error(`lift ${subnet}: MAC ${mac}`)
  const block = subnet.includes(':') ? formatBlock6(block6(subnet)) : formatCidr(parseCidr(subnet))
  const owners = [...new Set(lifts.map(({ owner }) => projectWord(owner)))].sort()
  return `${block} comment "${owners.join(' ')}" : ${mac}`
}

export const sameLift = (a: Lift, b: Lift): boolean =>
  a.subnet === b.subnet && a.mac === b.mac && a.owner === b.owner && a.ofPeers === b.ofPeers

/** What is used of libnftables-json(5) of that table; every key may be missing. */
interface NftObject {
  readonly map?: { readonly name?: string; readonly elem?: readonly unknown[] }
  readonly chain?: { name?: string; type?: string; hook?: string; prio?: number; policy?: string }
  readonly rule?: { readonly chain?: string; readonly comment?: string }
}

/** The networks that the table's objects lift; `null` where its chain is not as pak made it. */
export function liftsOf(objects: readonly NftObject[]): readonly Lift[] | null {
  const chain = objects.find((object) => object.chain?.name === CHAIN.name)?.chain
  const hooked =
    chain?.type === CHAIN.type &&
    chain.hook === CHAIN.hook &&
    chain.prio === CHAIN.priority &&
    chain.policy === 'accept'
  const comments = objects.flatMap(({ rule }) => (rule === undefined ? [] : [rule.comment]))
  if (!hooked || comments.join('\n') !== RULES.map(({ comment }) => comment).join('\n')) return null
  return objects.flatMap(({ map }) =>
    MAPS.includes(map?.name ?? '') ? (map?.elem ?? []).flatMap(liftsIn(map?.name)) : [],
  )
}

const MAPS: readonly string[] = ['lifted', 'lifted6', 'lifted_peers']

const liftsIn =
  (map: string | undefined) =>
  (member: unknown): readonly Lift[] => {
    const [left, mac] = Array.isArray(member) ? member : [member, null]
    const { elem } = (left ?? {}) as { elem?: { val?: unknown; comment?: unknown } }
    const { prefix } = (elem?.val ?? {}) as { prefix?: { addr?: unknown; len?: unknown } }
    if (prefix === undefined) return []
    const subnet = `${prefix.addr}/${prefix.len}`
    const kind = map === 'lifted_peers' ? ({ ofPeers: true } as const) : {}
    const owners = String(elem?.comment).split(' ')
    return owners.map((owner) => ({ subnet, mac: String(mac), owner, ...kind }))
  }
