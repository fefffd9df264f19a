import { isIPv4 } from 'node:net'
import { formatBlock6, parseBlock6 } from '../model/ipv6.ts'
import type { Policies, PolicyPeer, PolicyPorts, PolicyRule, PolicySide } from '../model/policy.ts'
import { attempt, type Context, Refusal } from './context.ts'
import { shown } from './problem.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

const NO_SIDE: PolicySide = { otherwise: 'deny', allow: [], deny: [] }

/** `policies` of a service; `null` where it has none. A side that is written denies what it does not allow. */
export function normalizePolicies(context: Context, field: Field | null): Policies | null {
  if (field === null) return null
  const [ingress, egress] = [child(field, 'ingress'), child(field, 'egress')]
  const made = (side: Field, direction: 'from' | 'to') =>
    attempt(context, side, { make: () => sideOf(context, side, direction), fallback: NO_SIDE })
  const policies: Policies = {
    ...(ingress === null ? {} : { ingress: made(ingress, 'from') }),
    ...(egress === null ? {} : { egress: made(egress, 'to') }),
  }
  return ingress === null && egress === null ? null : policies
}

function sideOf(context: Context, field: Field, word: 'from' | 'to'): PolicySide {
  const list = (name: string): readonly PolicyRule[] =>
    listOf(child(field, name)).flatMap((item) =>
      attempt<readonly PolicyRule[]>(context, item, {
        make: () => [ruleOf(item, word)],
        fallback: [],
      }),
    )
  const otherwise = textOf(child(field, 'default')) === 'allow' ? 'allow' : 'deny'
  return { otherwise, allow: list('allow'), deny: list('deny') }
}

function ruleOf(field: Field, word: 'from' | 'to'): PolicyRule {
  const wrong = child(field, word === 'from' ? 'to' : 'from')
  if (wrong !== null) throw new Refusal(`here the other side is \`${word}\``)
  const ports = listOf(child(field, 'ports')).map((item) => parsePorts(textOf(item) ?? ''))
  return { peers: listOf(child(field, word)).map(peerOf), ports: merged(ports) }
}

/** A list, or one thing that stands for a list of one. */
function listOf(field: Field | null): readonly Field[] {
  if (field === null) return []
  return field.node.kind === 'list' ? itemsOf(field) : [field]
}

function peerOf(field: Field): PolicyPeer {
  const text = textOf(field)
  if (text !== null) return { kind: 'service', service: text }
  const [service, network, cidr] = ['service', 'network', 'cidr'].map((name) =>
    textOf(child(field, name)),
  )
  const named = [service, network, cidr].filter((each) => typeof each === 'string')
  if (named.length !== 1)
    throw new Refusal('one of `service`, `network` and `cidr` says who is meant')
  if (typeof service === 'string') return { kind: 'service', service }
  if (typeof network === 'string') return { kind: 'network', network }
  const block = parseBlock(cidr ?? '')
  const except = listOf(child(field, 'except')).map((item) => parseBlock(textOf(item) ?? ''))
  if (except.some((each) => each.includes(':') !== block.includes(':')))
    throw new Refusal('`except` is of the same family as `cidr`')
  return { kind: 'cidr', cidr: block, except: [...new Set(except)].sort() }
}

/** A block of either family, host bits refused. */
function parseBlock(text: string): string {
  const [address = '', length = '32', ...more] = text.split('/')
  if (text.includes(':')) {
    const block = parseBlock6(text)
    if (block !== null) return formatBlock6(block)
  } else if (isIPv4(address) && /^\d{1,2}$/.test(length) && Number(length) <= 32) {
    const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
    if (more.length === 0 && number % 2 ** (32 - Number(length)) === 0)
      return `${address}/${Number(length)}`
    throw new Refusal(`${shown(text)} has host bits set`)
  }
  throw new Refusal(`expected addresses such as \`10.0.0.0/8\`, got ${shown(text)}`)
}

/** `80`, `8000-8010`, `53/udp`. */
function parsePorts(text: string): PolicyPorts {
  const [, from = '', to = from, protocol = 'tcp'] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text) ?? []
  const [first, last] = [Number(from), Number(to)]
  if (!(first >= 1 && first <= last && last <= 65_535))
    throw new Refusal(
      `expected ports such as \`80\`, \`53/udp\` or \`8000-8010\`, got ${shown(text)}`,
    )
  return { protocol: protocol === 'udp' || protocol === 'sctp' ? protocol : 'tcp', first, last }
}

/** Sorted; what touches or overlaps becomes one. */
function merged(ports: readonly PolicyPorts[]): readonly PolicyPorts[] {
  const sorted = [...ports].sort((a, b) =>
    a.protocol === b.protocol ? a.first - b.first : a.protocol < b.protocol ? -1 : 1,
  )
  const list: PolicyPorts[] = []
  for (const next of sorted) {
    const before = list.at(-1)
    const joins = before?.protocol === next.protocol && next.first <= before.last + 1
    if (!joins) list.push(next)
    else list[list.length - 1] = { ...before, last: Math.max(before.last, next.last) }
  }
  return list
}
