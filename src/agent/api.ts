import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import {
  connectContainer,
  createNetwork,
  disconnectContainer,
  removeNetworks,
  unusedNetworks,
} from './api-networks.ts'
import { createVolume, removeVolume } from './api-volumes.ts'
import type { Desk } from './desk.ts'
import { explain } from './explain.ts'
import {
  bodyOf,
  LineWriter,
  letBodyPass,
  RequestError,
  readJson,
  refuseBrowsers,
  sendError,
  sendJson,
} from './http.ts'
import { act, down, planUp, up } from './operations.ts'
import {
  parseActionRequest,
  parseDownRequest,
  parseExecRequest,
  parseLaunchEnd,
  parseLaunchRequest,
  parseName,
  parsePlanRequest,
  parseProject,
  parseRollbackRequest,
  parseSampleMs,
  parseUpRequest,
} from './requests.ts'
import { rollback } from './rollback.ts'
import type { CopyPlace, ResultLine } from './wire.ts'
import type { Caller } from './work.ts'

/** The agent's HTTP server, not listening yet. */
export function apiServer(desk: Desk): Server {
  const server = createServer((request, response) => {
    void answer(desk, request, response)
  })
  // Root's own tools are on the other end: a long operation or a slow upload is no attack.
  server.requestTimeout = 0
  server.headersTimeout = 0
  server.keepAliveTimeout = 30_000
  return server
}

interface Exchange {
  readonly desk: Desk
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  /** What the pattern's groups matched, decoded. */
  readonly words: readonly string[]
}

type Handler = (exchange: Exchange) => Promise<unknown>

/** A handler's value is the answer; `undefined` when it has answered itself. */
const ROUTES: readonly (readonly [method: string, path: RegExp, handler: Handler])[] = [
  ['GET', /^\/v1\/status$/, ({ desk }) => desk.status()],
  ['POST', /^\/v1\/agent\/stop$/, stopAgent],
  ['GET', /^\/v1\/projects$/, ({ desk }) => desk.projects()],
  ['POST', /^\/v1\/projects\/([^/]+)\/plan$/, plan],
  ['POST', /^\/v1\/projects\/([^/]+)\/up$/, runUp],
  ['POST', /^\/v1\/projects\/([^/]+)\/down$/, runDown],
  ['POST', /^\/v1\/projects\/([^/]+)\/action$/, runAction],
  ['POST', /^\/v1\/projects\/([^/]+)\/rollback$/, runRollback],
  ['GET', /^\/v1\/containers$/, ({ desk, query }) => desk.containers(projectOf(query))],
  ['GET', /^\/v1\/stats$/, (exchange) => sampled(exchange, 'usage')],
  ['GET', /^\/v1\/top$/, (exchange) => sampled(exchange, 'processes')],
  ['GET', /^\/v1\/networks$/, ({ desk, query }) => desk.networks(projectOf(query))],
  ['POST', /^\/v1\/networks$/, createNetwork],
  ['GET', /^\/v1\/networks\/unused$/, unusedNetworks],
  ['POST', /^\/v1\/networks\/remove$/, removeNetworks],
  ['POST', /^\/v1\/networks\/connect$/, connectContainer],
  ['POST', /^\/v1\/networks\/disconnect$/, disconnectContainer],
  [
    'POST',
    /^\/v1\/networks\/key$/,
    async ({ desk }) => ({ key: await desk.shop.parts.publicKey() }),
  ],
  ['GET', /^\/v1\/networks\/inspect$/, ({ desk }) => desk.inspectAll()],
  ['GET', /^\/v1\/inspect$/, ({ desk, query }) => desk.inspect(parseProject(query.get('project')))],
  ['GET', /^\/v1\/events$/, events],
  ['GET', /^\/v1\/explain$/, explained],
  ['GET', /^\/v1\/volumes$/, ({ desk }) => desk.shop.parts.volumes.list()],
  ['POST', /^\/v1\/volumes$/, createVolume],
  ['DELETE', /^\/v1\/volumes\/([^/]+)\/([^/]+)$/, removeVolume],
  ['GET', /^\/v1\/images$/, ({ desk }) => desk.shop.parts.images.list()],
  ['POST', /^\/v1\/images\/load$/, loadImages],
  ['POST', /^\/v1\/images\/import$/, importImage],
  ['DELETE', /^\/v1\/images\/([^/]+)$/, removeImage],
  ['POST', /^\/v1\/exec$/, exec],
  ['GET', /^\/v1\/files$/, readFiles],
  ['POST', /^\/v1\/files$/, writeFiles],
  ['POST', /^\/v1\/launch$/, launch],
  ['POST', /^\/v1\/launch\/end$/, launchEnd],
]

async function answer(
  desk: Desk,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const done = desk.requestBegins()
  response.once('close', () => done[Symbol.dispose]())
  response.on('error', () => {})
  try {
    refuseBrowsers(request)
    const url = new URL(request.url ?? '/', 'http://pak')
    const [handler, words] = route(request.method ?? 'GET', url.pathname)
    const body = await handler({ desk, request, response, query: url.searchParams, words })
    if (body !== undefined) sendJson(response, 200, body)
  } catch (error) {
    await letBodyPass(request)
    // What was not read of a refused body must not be taken for the next request.
    if (!request.complete) response.shouldKeepAlive = false
    sendError(response, error)
  }
}

function route(method: string, path: string): readonly [Handler, readonly string[]] {
  for (const [wanted, pattern, handler] of ROUTES) {
    const match = wanted === method ? pattern.exec(path) : null
    if (match !== null) return [handler, match.slice(1).map(decode)]
  }
  throw new RequestError(404, `request \`${method} ${path}\`: no such thing`)
}

function decode(word: string): string {
  try {
    return decodeURIComponent(word)
  } catch {
    throw new RequestError(400, 'request: path is not well encoded')
  }
}

const projectOf = (query: URLSearchParams): string | null =>
  query.get('project') === null ? null : parseProject(query.get('project'))

/** Of one project or all; a client that goes away ends the wait between the readings. */
async function sampled(
  { desk, query, response }: Exchange,
  what: 'usage' | 'processes',
): Promise<readonly object[]> {
  const sampleMs = parseSampleMs(query.get('sampleMs'))
  const project = projectOf(query)
  const { executor } = desk.shop.parts
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const names = project === null ? await desk.projects() : [project]
  const lists = await Promise.all(
    names.map((name) => executor[what]({ project: name, sampleMs }, gone.signal)),
  )
  return lists.flat()
}

async function plan({ desk, request, words }: Exchange): Promise<unknown> {
  const project = parseProject(words[0])
  return planUp(desk.shop, project, parsePlanRequest(project, await readJson(request)))
}

async function runUp(exchange: Exchange): Promise<undefined> {
  const project = parseProject(exchange.words[0])
  // Its turn begins before it is all here: see Transport.
  const body = readJson(exchange.request).then((value) => parseUpRequest(project, value))
  const detached = body.then(({ options }) => options.detached)
  const work = (caller: Caller) => up(exchange.desk.shop, project, body, caller)
  await operate(exchange, { project, detached, work })
}

async function runDown(exchange: Exchange): Promise<undefined> {
  const project = parseProject(exchange.words[0])
  const body = parseDownRequest(project, await readJson(exchange.request))
  const work = (caller: Caller) => down(exchange.desk.shop, project, body, caller)
  await operate(exchange, { project, detached: Promise.resolve(body.options.detached), work })
}

async function runAction(exchange: Exchange): Promise<undefined> {
  const project = parseProject(exchange.words[0])
  const body = parseActionRequest(await readJson(exchange.request))
  const work = (caller: Caller) => act(exchange.desk.shop, project, body, caller)
  await operate(exchange, { project, detached: Promise.resolve(body.options.detached), work })
}

async function runRollback(exchange: Exchange): Promise<undefined> {
  const project = parseProject(exchange.words[0])
  const body = parseRollbackRequest(await readJson(exchange.request))
  const work = (caller: Caller) => rollback(exchange.desk.shop, project, body, caller)
  await operate(exchange, { project, detached: Promise.resolve(body.detached), work })
}

interface Operation {
  readonly project: string
  /** Said by the request's body, which may still be on its way. */
  readonly detached: Promise<boolean>
  readonly work: (caller: Caller) => Promise<ResultLine>
}

/** In the project's turn; a client that goes away ends what it waits for, unless it is detached. */
async function operate(exchange: Exchange, { project, detached, work }: Operation): Promise<void> {
  const { desk, response } = exchange
  const lines = new LineWriter(response)
  const gone = new AbortController()
  let stays = false
  detached.then(
    (yes) => {
      stays = yes
    },
    () => {},
  )
  response.once('close', () => {
    if (!stays && !response.writableFinished) gone.abort()
  })
  const report: Caller['report'] = (line) => lines.write(line)
  const result = await desk.loop.exclusive(project, () => work({ signal: gone.signal, report }))
  const leaving = await desk.leaveIfLast()
  lines.write({ ...result, leaving })
  await lines.end()
  if (leaving.length > 0) desk.exit()
}

async function stopAgent({ desk, response }: Exchange): Promise<undefined> {
  const lines = new LineWriter(response)
  lines.write({ leaving: await desk.leaveNow() })
  await lines.end()
  desk.exit()
}

async function events({ desk, query, response }: Exchange): Promise<undefined> {
  const project = projectOf(query)
  const since = query.get('since')
  if (since !== null && Number.isNaN(Date.parse(since)))
    throw new RequestError(400, 'request `since`: not a time')
  const lines = new LineWriter(response)
  const follow = query.get('follow') === 'true'
  const live: object[] = []
  let past = true
  // Listening begins before reading: what happens in between is neither lost nor out of order.
  using _subscription = desk.shop.events.subscribe((event) => {
    if (project !== null && event.project !== project) return
    if (past) live.push(event)
    else lines.write(event)
  })
  const before = follow && since === null ? [] : await desk.shop.events.past(project, since)
  const known = new Set(before.map((event) => JSON.stringify(event)))
  for (const event of before) lines.write(event)
  for (const event of live) if (!known.has(JSON.stringify(event))) lines.write(event)
  past = false
  if (follow) {
    response.flushHeaders()
    await new Promise((resolve) => response.once('close', resolve))
  }
  await lines.end()
}

async function explained({ desk, query }: Exchange): Promise<unknown> {
  const project = parseProject(query.get('project'))
  const service = parseName(query.get('service'), 'service')
  const { shop } = desk
  const [observed, kept, events] = await Promise.all([
    desk.inspect(project),
    shop.kept.read(project),
    shop.events.past(project, null),
  ])
  const healthOf = (id: string) => shop.prober.detailsOf(id)
  return explain({ project, service, observed, kept, events, healthOf })
}

async function loadImages({ desk, request, query }: Exchange): Promise<unknown> {
  return desk.shop.parts.images.load(query.get('path') ?? bodyOf(request))
}

async function importImage({ desk, request, query }: Exchange): Promise<unknown> {
  const source = query.get('path') ?? bodyOf(request)
  return desk.shop.parts.images.import(source, query.get('reference') ?? '')
}

async function removeImage({ desk, words }: Exchange): Promise<unknown> {
  await desk.shop.parts.images.remove(words[0] ?? '')
  return {}
}

async function exec({ desk, request }: Exchange): Promise<unknown> {
  return desk.shop.parts.executor.exec(parseExecRequest(await readJson(request)))
}

async function launch({ desk, request }: Exchange): Promise<unknown> {
  return desk.shop.parts.oneOffs.launch(parseLaunchRequest(await readJson(request)))
}

async function launchEnd({ desk, request }: Exchange): Promise<unknown> {
  await desk.shop.parts.oneOffs.end(parseLaunchEnd(await readJson(request)))
  return {}
}

async function readFiles({ desk, query, response }: Exchange): Promise<undefined> {
  const at = placeOf(query)
  await copying(desk, at, () => desk.shop.parts.files.read(at, response))
}

async function writeFiles({ desk, query, request }: Exchange): Promise<unknown> {
  const at = placeOf(query)
  await copying(desk, at, () => desk.shop.parts.files.write(at, bodyOf(request)))
  return {}
}

/** What does not run must not be started meanwhile; of what runs nothing has to wait for a long copy. */
async function copying(desk: Desk, at: CopyPlace, work: () => Promise<void>): Promise<void> {
  const row = (await desk.containers(at.project)).find(
    ({ container }) => container === at.container,
  )
  const runs = row?.state === 'running' || row?.state === 'paused'
  await (runs ? work() : desk.loop.exclusive(at.project, work))
}

function placeOf(query: URLSearchParams): CopyPlace {
  const path = query.get('path') ?? ''
  if (path === '' || path.includes('\0')) throw new RequestError(400, 'request `path`: invalid')
  const container = parseName(query.get('container'), 'container')
  return { project: parseProject(query.get('project')), container, path }
}
