/** Who may talk to the containers of a service, and to whom they may talk. A side that is not here lets all pass. */
export interface Policies {
  readonly ingress?: PolicySide
  readonly egress?: PolicySide
}

export type PolicyDirection = keyof Policies

/** What `deny` matches is dropped; else what `allow` matches passes; else `otherwise` decides. */
export interface PolicySide {
  readonly otherwise: PolicyVerdict
  readonly allow: readonly PolicyRule[]
  readonly deny: readonly PolicyRule[]
}

export type PolicyVerdict = 'allow' | 'deny'

export interface PolicyRule {
  /** One of them matches; empty: anybody does. */
  readonly peers: readonly PolicyPeer[]
  /** One of them matches; empty: everything does, of any protocol. Sorted, without overlaps. */
  readonly ports: readonly PolicyPorts[]
}

export type PolicyPeer =
  | { readonly kind: 'service'; readonly service: string }
  /** Whoever has an address of the network. */
  | { readonly kind: 'network'; readonly network: string }
  /** Of either family. */
  | { readonly kind: 'cidr'; readonly cidr: string; readonly except: readonly string[] }

export type PolicyProtocol = 'tcp' | 'udp' | 'sctp'

export interface PolicyPorts {
  readonly protocol: PolicyProtocol
  readonly first: number
  readonly last: number
}

export interface ServicePolicies {
  readonly service: string
  readonly policies: Policies
}

/** One rule of one service, as it is named and counted. */
export interface NamedRule {
  readonly service: string
  readonly direction: PolicyDirection
  readonly list: 'deny' | 'allow' | 'default'
  /** From 1; 0 for the default. */
  readonly number: number
  readonly verdict: PolicyVerdict
  /** The default's has no peers and no ports. */
  readonly rule: PolicyRule
}

/** The rules of a service's side in the order in which they are asked. */
export function rulesOf(
  { service, policies }: ServicePolicies,
  direction: PolicyDirection,
): readonly NamedRule[] {
  const side = policies[direction]
  if (side === undefined) return []
  const named = (list: 'deny' | 'allow') =>
    side[list].map(
      (rule, index): NamedRule => ({
        service,
        direction,
        list,
        number: index + 1,
        verdict: list,
        rule,
      }),
    )
  const rule = { peers: [], ports: [] }
  const verdict = side.otherwise
  return [
    ...named('deny'),
    ...named('allow'),
    { service, direction, list: 'default', number: 0, verdict, rule },
  ]
}

/** `web ingress allow 1`; `web ingress default`. */
export const ruleName = ({ service, direction, list, number }: NamedRule): string =>
  `${service} ${direction} ${list}${number === 0 ? '' : ` ${number}`}`

/** Services that a service's rules name. */
export const peerServices = ({ policies }: ServicePolicies): readonly string[] =>
  [policies.ingress, policies.egress].flatMap((side) =>
    [...(side?.allow ?? []), ...(side?.deny ?? [])].flatMap(({ peers }) =>
      peers.flatMap((peer) => (peer.kind === 'service' ? peer.service : [])),
    ),
  )

/** As a user reads it: `service web, 10.0.0.0/8 but 10.1.0.0/16 on 80/tcp, 53/udp`. */
export function ruleText({ peers, ports }: PolicyRule): string {
  const who = peers.length === 0 ? 'anybody' : peers.map(peerText).join(', ')
  const words = ports.map(({ protocol, first, last }) =>
    first === last ? `${first}/${protocol}` : `${first}-${last}/${protocol}`,
  )
  return words.length === 0 ? who : `${who} on ${words.join(', ')}`
}

function peerText(peer: PolicyPeer): string {
  if (peer.kind === 'service') return `service ${peer.service}`
  if (peer.kind === 'network') return `network ${peer.network}`
  return peer.except.length === 0 ? peer.cidr : `${peer.cidr} but ${peer.except.join(', ')}`
}
