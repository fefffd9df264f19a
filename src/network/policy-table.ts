import { createHash } from 'node:crypto'
import { formatBlock6 } from '../model/ipv6.ts'
import {
  type NamedRule,
  type PolicyDirection,
  type PolicyPeer,
  type PolicyPorts,
  ruleName,
  rulesOf,
  type ServicePolicies,
} from '../model/policy.ts'
import type { Rule } from './firewall-base.ts'
import { addressWord, projectWord } from './firewall-elements.ts'
import { block6 } from './ipam6.ts'
import { formatCidr, parseCidr } from './ipv4.ts'

/** What the table of a project's policies is made from. */
export interface PolicyRequest {
  readonly rules: readonly ServicePolicies[]
  /** Service -> addresses of its containers, of both families, on every network. */
  readonly members: ReadonlyMap<string, readonly string[]>
  /** Network -> its blocks. */
  readonly networks: ReadonlyMap<string, readonly string[]>
}

/** A table of family `inet` as data: its script and the check of what the kernel has are made from it. */
export interface PolicyTable {
  readonly name: string
  readonly sets: readonly PolicySet[]
  /** Names of counters, one for each rule that a user has written, or left to the default. */
  readonly counters: readonly string[]
  readonly chains: readonly PolicyChain[]
}

export interface PolicySet {
  readonly name: string
  readonly type: string
  readonly elements: readonly string[]
}

export interface PolicyChain {
  readonly name: string
  /** `null`: only jumped to. */
  readonly hook: 'forward' | 'input' | null
  readonly rules: readonly Rule[]
}

/** Before pak's own chains, and after addresses have been rewritten: it sees containers, not what stands for them. */
export const POLICY_PRIORITY = -5

export const policyTableName = (table: string, project: string): string =>
  `${table}_p_${short(projectWord(project))}`

/**
 * Verdicts only take away: what passes here still has to pass the firewall's own chains. Containers of
 * one bridge come by here, too, as their network is lifted (see `Lift`). What this host itself sends
 * goes neither by `forward` nor by `input`, so that health checks and published ports of 127.0.0.1
 * work whatever the policies say.
 */
export function policyTable(
  at: { readonly table: string; readonly project: string; readonly dnsPort: number },
  request: PolicyRequest,
): PolicyTable {
  const { rules } = request
  const sides = rules.flatMap((policies) =>
    (['egress', 'ingress'] as const).map((direction) => ({
      direction,
      service: policies.service,
      rules: rulesOf(policies, direction),
    })),
  )
  const there = sides.filter((side) => side.rules.length > 0)
  const jumps = (direction: PolicyDirection) =>
    there.filter((side) => side.direction === direction).flatMap(jumpsTo)
  return {
    name: policyTableName(at.table, at.project),
    sets: setsOf(request),
    counters: there.flatMap((side) => side.rules.map(counterName)),
    chains: [
      ...there.map(({ service, direction, rules: named }) => ({
        name: chainName(service, direction),
        hook: null,
        rules: named.flatMap(linesOf),
      })),
      {
        name: 'forward',
        hook: 'forward',
        rules: [REPLIES, NEIGHBOURS, ...jumps('egress'), ...jumps('ingress')],
      },
      {
        name: 'input',
        hook: 'input',
        rules: [REPLIES, NEIGHBOURS, namesRule(at.dnsPort), ...jumps('egress')],
      },
    ],
  }
}

const REPLIES: Rule = rule('ct state established,related accept', 'answers')
// With br_netfilter, what neighbours ask each other by multicast comes by `forward`.
const NEIGHBOURS: Rule = rule(
  'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept',
  'who has an address',
)
const namesRule = (dnsPort: number): Rule =>
  rule(`meta l4proto { tcp, udp } th dport ${dnsPort} accept`, 'names')

function jumpsTo({
  service,
  direction,
}: {
  readonly service: string
  readonly direction: PolicyDirection
}): readonly Rule[] {
  const own = direction === 'egress' ? 'saddr' : 'daddr'
  return (['4', '6'] as const).map((family) =>
    rule(
      `${ip(family)} ${own} @${serviceSet(service, family)} jump ${chainName(service, direction)}`,
      `${service} ${direction}`,
    ),
  )
}

function linesOf(named: NamedRule): readonly Rule[] {
  const { direction, verdict, rule: written } = named
  const other = direction === 'egress' ? 'daddr' : 'saddr'
  const peers =
    written.peers.length === 0 ? [''] : written.peers.flatMap((p) => peerTexts(p, other))
  const ports = written.ports.length === 0 ? [''] : portTexts(written.ports)
  const word = verdict === 'deny' ? 'drop' : 'return'
  const end = `counter name ${counterName(named)} ${word}`
  return peers.flatMap((peer) =>
    ports.map((port) =>
      rule([peer, port, end].filter((part) => part !== '').join(' '), ruleName(named)),
    ),
  )
}

type Family = '4' | '6'
const ip = (family: Family): string => (family === '6' ? 'ip6' : 'ip')

function peerTexts(peer: PolicyPeer, side: 'saddr' | 'daddr'): readonly string[] {
  if (peer.kind === 'cidr') {
    const family = peer.cidr.includes(':') ? '6' : '4'
    const at = `${ip(family)} ${side}`
    const except = peer.except.map(blockWord)
    const but = except.length === 0 ? '' : ` ${at} != { ${except.join(', ')} }`
    return [`${at} ${blockWord(peer.cidr)}${but}`]
  }
  const named = peer.kind === 'service' ? serviceSet : networkSet
  const name = peer.kind === 'service' ? peer.service : peer.network
  return (['4', '6'] as const).map((family) => `${ip(family)} ${side} @${named(name, family)}`)
}

function portTexts(ports: readonly PolicyPorts[]): readonly string[] {
  return (['tcp', 'udp', 'sctp'] as const).flatMap((protocol) => {
    const own = ports.filter((each) => each.protocol === protocol)
    const words = own.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))
    return words.length === 0 ? [] : [`${protocol} dport { ${words.join(', ')} }`]
  })
}

function setsOf({ rules, members, networks }: PolicyRequest): readonly PolicySet[] {
  const peers = rules.flatMap(({ policies }) =>
    [policies.ingress, policies.egress].flatMap((side) =>
      [...(side?.allow ?? []), ...(side?.deny ?? [])].flatMap((each) => each.peers),
    ),
  )
  const named = peers.flatMap((peer) => (peer.kind === 'service' ? peer.service : []))
  const services = new Set([...rules.map(({ service }) => service), ...named])
  const across = new Set(peers.flatMap((peer) => (peer.kind === 'network' ? peer.network : [])))
  return [
    ...[...services].flatMap((service) => {
      const addresses = (members.get(service) ?? []).map(addressWord)
      return bothSets((family) => serviceSet(service, family), addresses, '')
    }),
    ...[...across].flatMap((network) => {
      const blocks = (networks.get(network) ?? []).map(blockWord)
      return bothSets((family) => networkSet(network, family), blocks, '; flags interval')
    }),
  ]
}

const bothSets = (
  name: (family: Family) => string,
  elements: readonly string[],
  flags: string,
): readonly PolicySet[] =>
  (['4', '6'] as const).map((family) => ({
    name: name(family),
    type: `type ipv${family}_addr${flags}`,
    elements: [...new Set(elements)].filter((each) => each.includes(':') === (family === '6')),
  }))

export const serviceSet = (service: string, family: Family): string =>
  `s${family}_${short(service)}`
const networkSet = (network: string, family: Family): string => `n${family}_${short(network)}`
const chainName = (service: string, direction: PolicyDirection): string =>
  `${direction === 'egress' ? 'out' : 'in'}_${short(service)}`
export const counterName = (named: NamedRule): string => `c_${short(ruleName(named))}`

const blockWord = (text: string): string =>
  text.includes(':') ? formatBlock6(block6(text)) : formatCidr(parseCidr(text))

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}

/** The kernel keeps the comment with the rule: the first part stands for what the rule says. */
function rule(match: string, text: string): Rule {
  return { match, comment: `${short(match).slice(0, 8)} ${text}` }
}
