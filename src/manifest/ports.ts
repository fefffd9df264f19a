import { isIPv4 } from 'node:net'
import { PORT_PROTOCOLS, type PublishedPort } from '../model/desired.ts'
import { formatIpv6, parseIpv6 } from '../model/ipv6.ts'
import { ANY_HOST, ANY_HOST6 } from '../model/port.ts'
import { attempt, type Context, compare, Refusal } from './context.ts'
import { shown } from './problem.ts'
import { child, type Field, itemsOf, spanOf, textOf } from './tree.ts'

/** More than this from one service is a mistake in a range. */
const MOST_PORTS = 20_000

/** `ports`, short and long form, ranges written out, in the order that the model promises. */
export function normalizePorts(context: Context, field: Field | null): readonly PublishedPort[] {
  const ports = new Map<string, PublishedPort>()
  for (const item of itemsOf(field)) {
    const make = () => (item.node.kind === 'map' ? longPort(item) : parsePort(textOf(item) ?? ''))
    for (const port of attempt<readonly PublishedPort[]>(context, item, { make, fallback: [] }))
      ports.set(portKey(port), port)
    if (ports.size > MOST_PORTS && field !== null) {
      const message = `a service can publish at most ${MOST_PORTS} ports`
      context.problems.report({ span: spanOf(field), path: field.path, message })
      return []
    }
  }
  return [...ports.values()]
    .filter((port) => !isCovered(ports, port))
    .sort(
      (a, b) =>
        a.target - b.target ||
        compare(a.protocol, b.protocol) ||
        compare(a.hostIp, b.hostIp) ||
        a.published - b.published,
    )
}

const portKey = (port: PublishedPort) =>
  `${port.hostIp}:${port.published}:${port.target}/${port.protocol}`

/** Compose publishes on both families with two entries; here one of them is both. */
const isCovered = (ports: ReadonlyMap<string, PublishedPort>, port: PublishedPort): boolean =>
  port.hostIp === ANY_HOST6 && ports.has(portKey({ ...port, hostIp: ANY_HOST }))

/** `[HOST_IP:]PUBLISHED:TARGET[/PROTOCOL]`, where both ports may be ranges of one length. */
export function parsePort(text: string): readonly PublishedPort[] {
  const [ports = '', protocol = 'tcp', ...more] = text.split('/')
  if (more.length > 0) throw new Refusal(`expected a port such as \`8080:80\`, got ${shown(text)}`)
  const [, bracketed, rest = ports] = /^\[([^\]]*)\]:(.*)$/.exec(ports) ?? []
  const parts = rest.split(':')
  if (parts.length > (bracketed === undefined ? 3 : 2))
    throw new Refusal(
      `expected a port such as \`8080:80\`, got ${shown(text)}`,
      'an IPv6 address stands in brackets: `[::]:8080:80`',
    )
  const [target = '', published, hostIp] = parts.reverse()
  if (published === undefined || published === '')
    throw new Refusal(
      'a port chosen by pak is not supported yet',
      `say which: \`${shown(target)}:${shown(target)}\``,
    )
  return expand({ target, published, hostIp: bracketed ?? hostIp ?? ANY_HOST, protocol })
}

function longPort(item: Field): readonly PublishedPort[] {
  return expand({
    target: textOf(child(item, 'target')) ?? '',
    published: textOf(child(item, 'published')) ?? '',
    hostIp: textOf(child(item, 'host_ip')) ?? ANY_HOST,
    protocol: textOf(child(item, 'protocol')) ?? 'tcp',
  })
}

interface Written {
  readonly target: string
  readonly published: string
  readonly hostIp: string
  readonly protocol: string
}

function expand({ target, published, ...at }: Written): readonly PublishedPort[] {
  const protocol = PORT_PROTOCOLS.find((known) => known === at.protocol)
  if (protocol === undefined)
    throw new Refusal(`unknown protocol ${shown(at.protocol)}`, 'one of `tcp`, `udp` and `sctp`')
  const hostIp = parseHostIp(at.hostIp)
  const inside = parseRange(target, 'port of the container')
  const outside = parseRange(published, 'published port')
  const length = inside.last - inside.first
  if (outside.last - outside.first !== length)
    throw new Refusal(`the ranges ${shown(published)} and ${shown(target)} are not of one length`)
  return Array.from({ length: length + 1 }, (_, n) => ({
    hostIp,
    published: outside.first + n,
    target: inside.first + n,
    protocol,
  }))
}

function parseHostIp(text: string): string {
  if (isIPv4(text)) return text
  const six = parseIpv6(text.replace(/^\[(.*)\]$/, '$1'))
  if (six === null) throw new Refusal(`expected an address of the host, got ${shown(text)}`)
  if (six === 1n)
    throw new Refusal(
      'Linux cannot forward from ::1: it never routes what has that address',
      'say 127.0.0.1, or `[::]` for every other IPv6 address of the host',
    )
  if (six >> 118n === 0x3fan)
    throw new Refusal('a link-local address means something on one link only')
  return formatIpv6(six)
}

/** `expose`: ports and ranges, written out as `80/tcp`, sorted. */
export function parseExpose(text: string): readonly string[] {
  const [ports = '', protocol = 'tcp'] = text.split('/')
  if (!/^(tcp|udp|sctp)$/.test(protocol)) throw new Refusal(`unknown protocol ${shown(protocol)}`)
  const { first, last } = parseRange(ports, 'port')
  return Array.from({ length: last - first + 1 }, (_, n) => `${first + n}/${protocol}`)
}

interface PortRange {
  readonly first: number
  readonly last: number
}

function parseRange(text: string, what: string): PortRange {
  const [from = '', to = from, ...more] = text.split('-')
  const first = parsePortNumber(from, what)
  const last = parsePortNumber(to, what)
  if (more.length > 0 || last < first)
    throw new Refusal(`expected a range such as \`8000-8009\`, got ${shown(text)}`)
  return { first, last }
}

function parsePortNumber(text: string, what: string): number {
  const port = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(port >= 1 && port <= 65535))
    throw new Refusal(`${what} must be 1-65535, got ${shown(text)}`)
  return port
}
