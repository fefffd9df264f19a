/**
 * What pak's nft table holds before any project: sets, maps, chains and rules as data, from which both
 * the script and the check of what `nft -j` shows are made, so that the two cannot disagree.
 * Everything that belongs to a project is an element of a set or map: adding a service adds elements.
 */

/** Eight bytes of UDP, four of flags, then it. */
const VNI = '@th,96,24'

export const SETS = {
  /** Every bridge of ours. */
  bridges: 'type ifname',
  /** Bridges that nothing is forwarded into or out of. */
  internal: 'type ifname',
  /** bridge . the same bridge: nft cannot compare two fields of a packet, a set can. */
  links: 'type ifname . ifname',
  /** bridge . its gateway: where containers ask for names. */
  gateways: 'type ifname . ipv4_addr',
  /** device . this host's address on it: the same on networks that plugins make. */
  doors: 'type ifname . ipv4_addr',
  /** Devices of those. */
  askers: 'type ifname',
  /** What is masqueraded on its way out. */
  subnets: 'type ipv4_addr; flags interval',
  /** The same of IPv6. */
  subnets6: 'type ipv6_addr; flags interval',
  /** Addresses of services. */
  vips: 'type ipv4_addr',
  /** Those of them whose clients keep their own address: see `LIFT`. */
  kept: 'type ipv4_addr',
  /** replica of a service with an address . the same replica, which may be given to itself. */
  loops: 'type ipv4_addr . ipv4_addr',
  /** The same three of IPv6. */
  vips6: 'type ipv6_addr',
  kept6: 'type ipv6_addr',
  loops6: 'type ipv6_addr . ipv6_addr',
  /** port . VNI (RFC 7348, section 5: 24 bits) of networks that span machines. */
  tunnels: `typeof udp dport . ${VNI}`,
  /** machine . port . VNI that it may send frames of. */
  peers: `typeof ip saddr . udp dport . ${VNI}`,
  /** port . VNI of those that are encrypted. */
  sealed: `typeof udp dport . ${VNI}`,
  /** device of WireGuard . port . VNI of the network that comes by it. */
  seals: `typeof iifname . udp dport . ${VNI}`,
} as const

/** Sets that the kernel fills by itself; nothing of a project is in them. */
const METERS = {
  /** Who asks for names, and how often. So many as fit, or a container that lies about its address would fill the memory. */
  questions: 'type ipv4_addr; size 4096; flags dynamic,timeout; timeout 10s',
} as const

export const TABLE_SETS: Readonly<Record<string, string>> = { ...SETS, ...METERS }

export const MAPS = {
  /** host address . protocol . port : container address . port */
  published: 'type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service',
  /** The same on every address of this host. */
  published_any: 'type inet_proto . inet_service : ipv4_addr . inet_service',
  /** The same two of IPv6. */
  published6: 'type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service',
  published6_any: 'type inet_proto . inet_service : ipv6_addr . inet_service',
  /** The first two for ports that several containers share: the chain that picks one of them. */
  balanced: 'type ipv4_addr . inet_proto . inet_service : verdict',
  balanced_any: 'type inet_proto . inet_service : verdict',
  balanced6: 'type ipv6_addr . inet_proto . inet_service : verdict',
  balanced6_any: 'type inet_proto . inet_service : verdict',
  /** bridge . address of a service there : the chain that picks a replica. No other network gets in. */
  services: 'type ifname . ipv4_addr : verdict',
  services6: 'type ifname . ipv6_addr : verdict',
} as const

/**
 * Where an administrator filters what comes to published ports: pak makes the chain, and never changes
 * what is in it. It sees the packets of clients, with their own address, on their way to a container.
 */
export const ADMIN = 'admin'

export type SetName = keyof typeof SETS | keyof typeof MAPS

export interface Chain {
  readonly name: string
  /** `null`: only jumped to. */
  readonly hook: { readonly type: string; readonly hook: string; readonly priority: number } | null
  readonly rules: readonly Rule[]
}

export interface Rule {
  readonly match: string
  /** Kept by the kernel; it is how a rule is told from another when the table is read back. */
  readonly comment: string
}

/** The chains of a table whose name server listens on `dnsPort`. Priorities are nft(8)'s numbers. */
export function baseChains(dnsPort: number): readonly Chain[] {
  return [
    chain('guard', ['filter', 'prerouting', -300], GUARD),
    chain('publish', null, PUBLISH),
    chain(
      'prerouting',
      ['nat', 'prerouting', -100],
      [
        {
          match: `iifname . ip daddr @gateways meta l4proto { tcp, udp } th dport 53 redirect to :${dnsPort}`,
          comment: dnsComment(dnsPort),
        },
        {
          match: `iifname . ip daddr @doors meta l4proto { tcp, udp } th dport 53 redirect to :${dnsPort}`,
          comment: 'names on networks of plugins',
        },
        { match: 'iifname . ip daddr vmap @services', comment: 'a service by its address' },
        { match: 'iifname . ip6 daddr vmap @services6', comment: 'a service by its address, ipv6' },
        ...TO_PUBLISHED,
      ],
    ),
    chain('output', ['nat', 'output', -100], TO_PUBLISHED),
    chain('postrouting', ['nat', 'postrouting', 100], POSTROUTING),
    chain(
      'input',
      ['filter', 'input', 0],
      [
        {
          match: `iifname != "lo" iifname != @bridges iifname != @askers meta l4proto { tcp, udp } th dport ${dnsPort} drop`,
          comment: 'names are for containers only',
        },
        {
          match: `udp dport . ${VNI} @tunnels ip saddr . udp dport . ${VNI} != @peers drop`,
          comment: 'frames of a network are from its peers only',
        },
        {
          match: `udp dport . ${VNI} @sealed iifname . udp dport . ${VNI} != @seals drop`,
          comment: 'encrypted frames only, where they should be',
        },
        {
          match: `meta nfproto ipv6 udp dport . ${VNI} @tunnels drop`,
          comment: 'tunnels are of ipv4',
        },
        // The address is this host's own, so that it answers ARP: what is not rewritten would be
        // answered by whatever listens here.
        { match: 'ip daddr @vips reject', comment: 'no service for this neighbour' },
        {
          match: 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept',
          comment: 'whose it is may be asked',
        },
        { match: 'ip6 daddr @vips6 reject', comment: 'no service for this neighbour, ipv6' },
      ],
    ),
    chain(ADMIN, null, []),
    chain('forward', ['filter', 'forward', 0], FORWARD),
  ]
}

const DNS_COMMENT = 'names: port '
const dnsComment = (dnsPort: number): string => `${DNS_COMMENT}${dnsPort}`

/** The port in the comment that `baseChains` gave its redirect; `null` when it is not that rule's. */
export function portOfDnsComment(comment: string): number | null {
  const port = comment.startsWith(DNS_COMMENT) ? Number(comment.slice(DNS_COMMENT.length)) : 0
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : null
}

function chain(
  name: string,
  hook: readonly [string, string, number] | null,
  rules: readonly Rule[],
): Chain {
  if (hook === null) return { name, hook, rules }
  return { name, hook: { type: hook[0], hook: hook[1], priority: hook[2] }, rules }
}

/** Of one container in a second: more than any needs, and few enough that the name server keeps up on a slow core. */
const MOST_QUESTIONS = 6_000
/** A socket's queue holds some 270 of them (net.core.rmem_default), and there are others who ask. */
const QUESTIONS_AT_ONCE = 200

// route_localnet on our bridges would let a neighbour send to 127.0.0.1 (CVE-2020-8558), and the
// published ports of 127.0.0.1 are rewritten before the kernel looks for martians.
const GUARD: readonly Rule[] = [
  { match: 'iifname != "lo" ip daddr 127.0.0.0/8 drop', comment: 'loopback is for this host only' },
  { match: 'iifname @bridges ip saddr 127.0.0.0/8 drop', comment: 'no container is loopback' },
  {
    // What IPv4 has of `rp_filter`; ff02::/16 and fe80::/10 are needed to find a neighbour.
    match: 'iifname @bridges ip6 saddr != { ::, fe80::/10 } ip6 saddr != @subnets6 drop',
    comment: 'a container has addresses of containers only',
  },
  // The name server has one queue for all: what one asks too much would be lost for its neighbours.
  ...(['gateways', 'doors'] as const).map((places) => ({
    match:
      `iifname . ip daddr @${places} udp dport 53` +
      ` update @questions { ip saddr limit rate over ${MOST_QUESTIONS}/second burst ${QUESTIONS_AT_ONCE} packets } drop`,
    comment: `questions beyond ${MOST_QUESTIONS} a second of one container, ${places}`,
  })),
]

const PUBLISH: readonly Rule[] = [
  {
    match: 'dnat ip to ip daddr . meta l4proto . th dport map @published',
    comment: 'one host address, by protocol',
  },
  {
    match: 'dnat ip to meta l4proto . th dport map @published_any',
    comment: 'every host address, by protocol',
  },
  {
    match: 'ip daddr . meta l4proto . th dport vmap @balanced',
    comment: 'one host address, spread over replicas',
  },
  {
    match: 'meta nfproto ipv4 meta l4proto . th dport vmap @balanced_any',
    comment: 'every host address, spread over replicas',
  },
  {
    // Linux has no `route_localnet` for IPv6: what came from ::1 would never come back. So nobody
    // takes it there, and clients go on to 127.0.0.1 at once.
    match: 'ip6 daddr ::1 return',
    comment: 'not from ::1',
  },
  {
    match: 'dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6',
    comment: 'one host address of ipv6, by protocol',
  },
  {
    match: 'dnat ip6 to meta l4proto . th dport map @published6_any',
    comment: 'every host address of ipv6, by protocol',
  },
  {
    match: 'ip6 daddr . meta l4proto . th dport vmap @balanced6',
    comment: 'one host address of ipv6, spread over replicas',
  },
  {
    match: 'meta nfproto ipv6 meta l4proto . th dport vmap @balanced6_any',
    comment: 'every host address of ipv6, spread over replicas',
  },
]

const TO_PUBLISHED: readonly Rule[] = [
  { match: 'fib daddr type local jump publish', comment: 'published ports' },
]

const POSTROUTING: readonly Rule[] = [
  {
    match: 'ct original ip daddr @vips ip saddr . ip daddr @loops masquerade',
    comment: 'a replica to itself by its service',
  },
  {
    match: 'ct original ip daddr @kept accept',
    comment: 'a container to a service, with its own address',
  },
  {
    match: 'ct original ip6 daddr @vips6 ip6 saddr . ip6 daddr @loops6 masquerade',
    comment: 'a replica to itself by its service, ipv6',
  },
  {
    match: 'ct original ip6 daddr @kept6 accept',
    comment: 'a container to a service, with its own address, ipv6',
  },
  {
    match: 'fib saddr type local oifname @bridges ct status dnat masquerade',
    comment: 'this host to a published port',
  },
  {
    // By address, not by interface: with br_netfilter the packet may never leave its bridge.
    match: 'ip saddr @subnets oifname @bridges ct status dnat masquerade',
    comment: 'a container to a published port',
  },
  {
    match: 'ip saddr @subnets oifname != @bridges oifname != "lo" masquerade',
    comment: 'outwards',
  },
  {
    match: 'ip6 saddr @subnets6 oifname @bridges ct status dnat masquerade',
    comment: 'a container to a published port, ipv6',
  },
  {
    match: 'ip6 saddr @subnets6 oifname != @bridges oifname != "lo" masquerade',
    comment: 'outwards, ipv6',
  },
]

const FORWARD: readonly Rule[] = [
  { match: 'iifname . oifname @links accept', comment: 'within a network' },
  { match: 'iifname @internal drop', comment: 'no way out of an internal network' },
  { match: 'oifname @internal drop', comment: 'no way into an internal network' },
  {
    match: `ct status dnat ct direction original jump ${ADMIN}`,
    comment: 'published, as far as the administrator lets it',
  },
  { match: 'ct status dnat accept', comment: 'published' },
  { match: 'oifname @bridges ct state established,related accept', comment: 'answers' },
  { match: 'oifname @bridges drop', comment: 'everything else stays out' },
]

/** As nft reads it, inside of a table. */
export function chainScript({ name, hook, rules }: Chain): string[] {
  return [
    `  chain ${name} {`,
    ...(hook === null
      ? []
      : [`    type ${hook.type} hook ${hook.hook} priority ${hook.priority}; policy accept;`]),
    ...rules.map(({ match, comment }) => `    ${match} comment "${comment}"`),
    '  }',
  ]
}
