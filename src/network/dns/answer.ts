import { formatIpv6, parseIpv6 } from '../../model/ipv6.ts'
import { isAddress } from '../ipv4.ts'
import { misunderstood, parseQuery, type Query, RCODE, refusal, reply } from './message.ts'
import { askedService, matches } from './service.ts'
import type { Scope } from './zone.ts'

/** Short: after a recreate or a failed health check nobody may hold on to the old address for long. */
const TTL_SECONDS = 2
/** Of who is not healthy: somebody else may be, the next time. Peers tell it so from the others. */
const DOUBTFUL_TTL_SECONDS = 0

export interface AnswerContext {
  readonly scope: Scope
  readonly transport: 'udp' | 'tcp'
  /** A number that differs from query to query: which of a service's addresses comes first. */
  readonly turn: number
}

export type Verdict =
  | { readonly kind: 'reply'; readonly message: Buffer }
  /** Not ours to know: ask outside. */
  | { readonly kind: 'forward'; readonly query: Query }
  | { readonly kind: 'ignore' }

/** What to do with one message from a container. Never throws, whatever the bytes. */
export function answer(bytes: Buffer, context: AnswerContext): Verdict {
  const query = parseQuery(bytes)
  if (query === 'ignored') return { kind: 'ignore' }
  if (typeof query === 'number') return { kind: 'reply', message: misunderstood(bytes, query) }
  if (query.edns !== null && query.edns.version > 0) return refuse(query, RCODE.badVers)
  if (query.class !== 'IN') return refuse(query, RCODE.refused)
  if (query.type === 'AXFR' || query.type === 'IXFR') return refuse(query, RCODE.refused)
  if (query.type === 'PTR') return pointer(query, context)
  if (query.type === 'SRV') return located(query, context)
  const addresses = context.scope.lookup(query.name)
  if (addresses === null) return outside(query, context.scope)
  if (addresses.length === 0) return refuse(query, RCODE.nxDomain)
  // ANY gets one type (RFC 8482); all but A and AAAA: the name exists, with nothing of it.
  if (query.type === 'AAAA')
    return records(query, 'AAAA', rotate(context.scope.lookup6(query.name), context.turn), context)
  const data = query.type === 'A' || query.type === 'ANY' ? rotate(addresses, context.turn) : []
  return records(query, 'A', data, context)
}

/** `_PORT._PROTOCOL.NAME`, or `NAME` for all its ports: where the name leads, and to which port. */
function located(query: Query, context: AnswerContext): Verdict {
  const { scope, turn } = context
  const asked = askedService(query.name)
  const addresses = scope.lookup(asked.name)
  if (addresses === null) return outside(query, scope)
  const found = scope
    .targets(asked.name)
    .flatMap(({ name, ports = [] }) =>
      ports.flatMap((port) => (matches(asked, port) ? `${port.port} ${name}` : [])),
    )
  const known = found.length > 0 || (asked.port === null && addresses.length > 0)
  if (!known) return refuse(query, RCODE.nxDomain)
  return records(query, 'SRV', rotate([...new Set(found)], turn), context)
}

function pointer(query: Query, context: AnswerContext): Verdict {
  const address = askedAddress(query.name)
  const name = address === null ? null : context.scope.reverse(address)
  if (name === null) return outside(query, context.scope)
  return records(query, 'PTR', [name], context)
}

/** What a name below in-addr.arpa or ip6.arpa (RFC 3596, section 2.5) stands for. */
export function askedAddress(name: string): string | null {
  const four = /^([\d.]+)\.in-addr\.arpa$/.exec(name)?.[1]?.split('.').reverse().join('.')
  if (four !== undefined) return isAddress(four) ? four : null
  const digits = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1]?.replaceAll('.', '')
  const groups = digits === undefined ? null : [...digits].reverse().join('').match(/.{4}/g)
  const six = groups === null ? null : parseIpv6(groups.join(':'))
  return six === null ? null : formatIpv6(six)
}

function outside(query: Query, scope: Scope): Verdict {
  if (scope.internal) return refuse(query, RCODE.nxDomain)
  // The answer to ANY is larger than the question by far: nothing to ask a stranger for.
  if (query.type === 'ANY') return refuse(query, RCODE.notImp)
  return { kind: 'forward', query }
}

function records(
  query: Query,
  type: 'A' | 'AAAA' | 'PTR' | 'SRV',
  data: readonly string[],
  { transport, scope }: AnswerContext,
): Verdict {
  const maxBytes = transport === 'udp' ? query.udpBytes : 65_535
  const ttlSeconds = scope.doubtful(query.name) ? DOUBTFUL_TTL_SECONDS : TTL_SECONDS
  return { kind: 'reply', message: reply(query, { type, data, ttlSeconds, maxBytes }) }
}

const refuse = (query: Query, rcode: number): Verdict => ({
  kind: 'reply',
  message: refusal(query, rcode),
})

function rotate<T>(list: readonly T[], turn: number): readonly T[] {
  const start = turn % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}
