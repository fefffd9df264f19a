import { randomInt } from 'node:crypto'
import { decode, encode, type OptAnswer, type Packet } from 'dns-packet'
import { contains, isAddress } from '../ipv4.ts'
import { askedAddress } from './answer.ts'
import { askUdp, bounded } from './forward.ts'
import { parseQuery, type Query, RCODE, refusal } from './message.ts'
import { readRecords } from './records.ts'
import { type AskedService, askedService } from './service.ts'
import { HOST_NAME, type Scope, type Target, type ZonePeer } from './zone.ts'

/** Machines of one network are near each other; who is lost must not keep anybody waiting. */
const ATTEMPT_MS = 400
/** A peer that was silent is not asked again for so long. */
const SILENT_MS = 3_000
/** A peer's own answers say two seconds: no longer than that in all. */
const KEPT_MS = 1_000
const MAX_KEPT = 1_000
const MAX_IN_FLIGHT = 256
const MAX_RECORDS = 256

/**
 * What is known of a question with what peers know of it: a scope that answers it, or the answer itself
 * where nobody can say, as a peer that may know is silent.
 */
export type PeerNames = (
  bytes: Buffer,
  scope: Scope,
  signal: AbortSignal,
) => Promise<Scope | Buffer>

interface PeerOptions {
  readonly port?: number
  readonly attemptMs?: number
  /** Milliseconds that only grow. */
  readonly now?: () => number
}

type Type = 'A' | 'PTR' | 'SRV'

/** Asks all peers at once, each question once at a time. */
export function peerNames(options: PeerOptions = {}): PeerNames {
  const ask = asker(options)
  return async (bytes, scope, signal) => {
    const query = parseQuery(bytes)
    if (typeof query !== 'object' || query.class !== 'IN') return scope
    if (query.type === 'PTR') return withPointer(query, scope, { ask, signal })
    const located = query.type === 'SRV'
    const service = askedService(query.name)
    const name = located ? service.name : query.name
    if (!isShared(name, scope)) return scope
    const about = { name: query.name, type: located ? ('SRV' as const) : ('A' as const), signal }
    const answers = await Promise.all(scope.peers.map((peer) => ask(peer, about)))
    const found = best(answers)
    const known = (scope.lookup(name) ?? []).length + found.data.length > 0
    if (!known && answers.includes(null)) return refusal(query, RCODE.servFail)
    if (found.data.length === 0) return scope
    return located ? withTargets(scope, service, found.data) : withAddresses(scope, name, found)
  }
}

/** Names of services have no dot, or are declared here as well; all others are of the world outside. */
const isShared = (name: string, scope: Scope): boolean =>
  !name.includes('.') ||
  name.startsWith('tasks.') ||
  (name !== HOST_NAME && scope.lookup(name) !== null)

/** Who is healthy goes before who is not, wherever it is. */
function best(answers: readonly (Answer | null)[]): Answer {
  const given = answers.flatMap((answer) =>
    answer === null || answer.data.length === 0 ? [] : answer,
  )
  const sure = given.filter((answer) => !answer.doubtful)
  const chosen = sure.length > 0 ? sure : given
  return { data: chosen.flatMap(({ data }) => data), doubtful: sure.length === 0 }
}

function withAddresses(scope: Scope, name: string, { data, doubtful }: Answer): Scope {
  const own = scope.lookup(name) ?? []
  const unsure = own.length === 0 || scope.doubtful(name)
  const both = doubtful === unsure ? [...own, ...data] : unsure ? data : own
  return {
    ...scope,
    lookup: (asked) => (asked === name ? [...new Set(both)] : scope.lookup(asked)),
    doubtful: (asked) => (asked === name ? doubtful && unsure : scope.doubtful(asked)),
  }
}

/** They have been asked for that service only. */
function withTargets(
  scope: Scope,
  { name, protocol }: AskedService,
  found: readonly string[],
): Scope {
  const targets = found.map((text): Target => {
    const [port = '', target = ''] = text.split(' ')
    return { name: target, address: '', healthy: true, ports: [{ port: Number(port), protocol }] }
  })
  return {
    ...scope,
    lookup: (asked) => (asked === name ? (scope.lookup(name) ?? []) : scope.lookup(asked)),
    targets: (asked) => [...scope.targets(asked), ...(asked === name ? targets : [])],
  }
}

async function withPointer(
  query: Query,
  scope: Scope,
  { ask, signal }: { readonly ask: Ask; readonly signal: AbortSignal },
): Promise<Scope> {
  const address = askedAddress(query.name)
  if (address === null || !isAddress(address)) return scope
  const peer = scope.peers.find(({ range }) => contains(range, address))
  const about = { name: query.name, type: 'PTR', signal } as const
  const answer = peer === undefined ? null : await ask(peer, about)
  const [name = null] = answer?.data ?? []
  if (name === null) return scope
  return { ...scope, reverse: (asked) => (asked === address ? name : scope.reverse(asked)) }
}

interface About {
  readonly name: string
  readonly type: Type
  readonly signal: AbortSignal
}

interface Answer {
  readonly data: readonly string[]
  /** Nobody of them is healthy. */
  readonly doubtful: boolean
}

/** What a peer says; `null`: it is silent. */
type Ask = (peer: ZonePeer, about: About) => Promise<Answer | null>

function asker({
  port = 53,
  attemptMs = ATTEMPT_MS,
  now = () => performance.now(),
}: PeerOptions): Ask {
  const kept = new Map<string, { readonly answer: Answer; readonly endsMs: number }>()
  const underWay = new Map<string, Promise<Answer | null>>()
  const silent = new Map<string, number>()
  const askOne = async (peer: ZonePeer, about: About) => {
    const answer = await askPeer(peer, about, { port, attemptMs })
    if (answer === null) silent.set(peer.gateway, now() + SILENT_MS)
    else silent.delete(peer.gateway)
    return answer
  }
  return async (peer, about) => {
    const key = `${peer.gateway} ${about.type} ${about.name}`
    const held = kept.get(key)
    if (held !== undefined && held.endsMs > now()) return held.answer
    if ((silent.get(peer.gateway) ?? 0) > now()) return null
    const asked = underWay.get(key)
    if (asked !== undefined) return asked
    if (underWay.size >= MAX_IN_FLIGHT) return null
    const asking = askOne(peer, about)
    underWay.set(key, asking)
    try {
      const answer = await asking
      kept.delete(key)
      const [oldest] = kept.keys()
      if (kept.size >= MAX_KEPT && oldest !== undefined) kept.delete(oldest)
      if (answer !== null) kept.set(key, { answer, endsMs: now() + KEPT_MS })
      return answer
    } finally {
      underWay.delete(key)
    }
  }
}

async function askPeer(
  peer: ZonePeer,
  { name, type, signal: outer }: About,
  { port, attemptMs }: { readonly port: number; readonly attemptMs: number },
): Promise<Answer | null> {
  using attempt = bounded(outer, attemptMs)
  const { signal } = attempt
  const query: Packet = { type: 'query', id: randomInt(65_536), questions: [{ name, type }] }
  const questionEnd = encode(query).length
  const asked = encode({ ...query, additionals: [OPT] })
  const found = await askUdp({ server: peer.gateway, port, asked, questionEnd, signal })
  return found === null ? null : answerOf(found, type, peer)
}

/** As many addresses as go into one packet (RFC 6891). */
const OPT: OptAnswer = {
  ...{ type: 'OPT', name: '.', udpPayloadSize: 1_232, extendedRcode: 0, ednsVersion: 0 },
  ...{ flags: 0, flag_do: false, options: [] },
}

/** A peer may lie about its own containers only. `null`: it cannot say. */
function answerOf(found: Buffer, type: Type, { range }: ZonePeer): Answer | null {
  const rcode = (found[3] ?? 0) & 0x0f
  if (rcode === RCODE.nxDomain) return { data: [], doubtful: false }
  if (rcode !== RCODE.noError || readRecords(found) === null) return null
  const records = recordsOf(found)
    .filter((record) => record.type === type)
    .slice(0, MAX_RECORDS)
    .filter(({ data }) =>
      type === 'A'
        ? isAddress(data) && contains(range, data)
        : NAME.test(data.split(' ').at(-1) ?? ''),
    )
  const data = [...new Set(records.map((record) => record.data))]
  return { data, doubtful: data.length > 0 && records.every(({ ttl }) => ttl === 0) }
}

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$/

interface Found {
  readonly type: string
  readonly data: string
  /** Seconds. */
  readonly ttl: number
}

function recordsOf(found: Buffer): readonly Found[] {
  try {
    return (decode(found).answers ?? []).flatMap((record) => {
      if (record.type !== 'SRV' && record.type !== 'A' && record.type !== 'PTR') return []
      const { type, ttl = 0 } = record
      if (record.type !== 'SRV') return { type, ttl, data: record.data }
      return { type, ttl, data: `${record.data.port} ${record.data.target}` }
    })
  } catch {
    return []
  }
}
