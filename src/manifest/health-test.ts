import type { HealthTest, HttpTest } from '../model/desired.ts'
import {
  attempt,
  type Context,
  compare,
  pairsOf,
  Refusal,
  sortedRecord,
  take,
  takeBoolean,
} from './context.ts'
import { shown } from './problem.ts'
import { parseInteger } from './quantities.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** How health is asked for: `test`, `http` or `tcp`, one of them; `null`: not at all. Throws Refusal. */
export function normalizeTest(context: Context, field: Field): HealthTest | null {
  const given = KINDS.filter((name) => child(field, name) !== null)
  if (given.length > 1)
    throw new Refusal(`a healthcheck has one of \`test\`, \`http\` and \`tcp\`, not several`)
  const http = child(field, 'http')
  if (http !== null)
    return attempt(context, http, { make: () => httpTest(context, http), fallback: null })
  const tcp = child(field, 'tcp')
  if (tcp !== null) return take(context, tcp, { parse: parseTcp, fallback: null })
  return commandTest(field)
}

const KINDS = ['test', 'http', 'tcp'] as const

function commandTest(field: Field): HealthTest | null {
  const test = child(field, 'test')
  const text = textOf(test)
  if (text !== null) return { kind: 'shell', command: [text] }
  const [kind, ...words] = itemsOf(test).map((item) => textOf(item) ?? '')
  if (kind === undefined) {
    if (takeBoolean(child(field, 'disable'), false)) return null
    throw new Refusal('a healthcheck needs a `test`, `http` or `tcp`')
  }
  if (kind === 'NONE' && words.length === 0) return null
  if (kind === 'CMD' && words.length > 0) return { kind: 'exec', command: words }
  if (kind === 'CMD-SHELL' && words.length === 1) return { kind: 'shell', command: words }
  throw new Refusal('`test` must be a text, [CMD, program, ...], [CMD-SHELL, text] or [NONE]')
}

const parsePort = parseInteger({ what: 'port', least: 1, most: 65_535 })

const parseTcp = (text: string): HealthTest => ({
  kind: 'tcp',
  port: parsePort(text.replace(/^:/, '')),
})

/** A text such as `8080/healthz` or `https://localhost/`, or a map. */
function httpTest(context: Context, field: Field): HttpTest {
  const text = textOf(field)
  if (text !== null) return { ...PLAIN, ...parseUrl(text) }
  const port = child(field, 'port')
  return {
    ...PLAIN,
    port: take(context, port, { parse: parsePort, fallback: 0 }),
    path: take(context, child(field, 'path'), { parse: parsePath, fallback: '/' }),
    tls: takeBoolean(child(field, 'https'), false),
    method: textOf(child(field, 'method')) === 'HEAD' ? 'HEAD' : 'GET',
    headers: headersOf(context, child(field, 'headers')),
    statuses: statusesOf(context, child(field, 'status')),
  }
}

const PLAIN = {
  kind: 'http',
  tls: false,
  method: 'GET',
  headers: {},
  statuses: [{ least: 200, most: 399 }],
} as const

function parseUrl(text: string): Pick<HttpTest, 'port' | 'path' | 'tls'> {
  const short = /^:?([0-9]{1,5})(\/.*)?$/.exec(text)
  if (short !== null)
    return { tls: false, port: parsePort(short[1] ?? ''), path: parsePath(short[2] ?? '/') }
  const whole = /^(https?):\/\/([^/:]*)(?::([0-9]{1,5}))?(\/.*)?$/.exec(text)
  if (whole === null)
    throw new Refusal(`expected a port and a path such as \`8080/healthz\`, got ${shown(text)}`)
  if (!['', 'localhost', '127.0.0.1'].includes(whole[2] ?? ''))
    throw new Refusal(
      `a health check asks the container itself, not ${shown(whole[2] ?? '')}`,
      'say `localhost`',
    )
  const tls = whole[1] === 'https'
  const port = parsePort(whole[3] ?? (tls ? '443' : '80'))
  return { tls, port, path: parsePath(whole[4] ?? '/') }
}

function parsePath(text: string): string {
  if (!/^\/[!"$-~]{0,2000}$/.test(text))
    throw new Refusal(
      `expected a path that begins with a slash, without spaces and \`#\`, got ${shown(text)}`,
    )
  return text
}

function headersOf(context: Context, field: Field | null): HttpTest['headers'] {
  const seen = new Set<string>()
  const pairs = pairsOf(field).flatMap(({ name, value, field: at }) => {
    const make = (): readonly (readonly [string, string])[] => {
      if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/.test(name))
        throw new Refusal(`expected the name of a header, got ${shown(name)}`)
      if (!/^[ -~]{0,1000}$/.test(value ?? ''))
        throw new Refusal('the value of a header is printable ASCII on one line')
      if (seen.has(name.toLowerCase())) throw new Refusal(`header \`${name}\` is there twice`)
      seen.add(name.toLowerCase())
      return [[name, value ?? '']]
    }
    return attempt(context, at, { make, fallback: [] })
  })
  return sortedRecord(pairs)
}

function statusesOf(context: Context, field: Field | null): HttpTest['statuses'] {
  if (field === null) return PLAIN.statuses
  const items = field.node.kind === 'scalar' ? [field] : itemsOf(field)
  const ranges = items.map((item) =>
    take(context, item, { parse: parseStatus, fallback: { least: 200, most: 399 } }),
  )
  return ranges.sort((a, b) => a.least - b.least || a.most - b.most)
}

function parseStatus(text: string): HttpTest['statuses'][number] {
  const match = /^([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?$/.exec(text)
  const [least, most] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
  if (match === null || most < least || least < 200)
    throw new Refusal(`expected a status such as \`200\` or \`200-399\`, got ${shown(text)}`)
  return { least, most }
}

/** The map form of it, for `pak config`. */
export function httpManifest(test: HttpTest): Readonly<Record<string, unknown>> {
  const { port, path, tls, method, headers, statuses } = test
  return {
    port,
    path,
    ...(tls ? { https: true } : {}),
    ...(method === 'GET' ? {} : { method }),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    status: statuses.map(({ least, most }) => `${least}-${most}`).sort(compare),
  }
}
