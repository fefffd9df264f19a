import type { IncomingMessage, ServerResponse } from 'node:http'
import { finished, PassThrough, type Readable } from 'node:stream'
import { finished as over } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFacts, PakError } from '../errors.ts'

const BODY_LIMIT_BYTES = 16 * 1024 * 1024
/** A reader that is this far behind is stalled: nobody waits for it. */
const BACKLOG_LIMIT_BYTES = 4 * 1024 * 1024
/** What a client of a unix socket calls the other side. A browser that was lured here says more. */
const HOSTS = new Set(['pak', 'localhost'])

/** @throws PakError `usage` for a request that only a browser could have sent. */
export function refuseBrowsers({ headers }: IncomingMessage): void {
  const crossSite = headers.origin !== undefined || headers['sec-fetch-site'] !== undefined
  if (crossSite || !HOSTS.has(headers.host ?? ''))
    throw new RequestError(403, 'request: only pak itself may use this socket')
}

/**
 * So long may a body be on its way. A client begins its request while it still reads the file that the
 * request is about: nobody may wait for one that was stopped over that.
 */
const BODY_LIMIT_MS = 15_000

/** The body as JSON; at most 16 MiB, within 15 seconds. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const settled = new AbortController()
  const late = sleep(BODY_LIMIT_MS, null, { signal: settled.signal }).then(() => {
    throw new RequestError(408, `request: no whole body within ${BODY_LIMIT_MS} ms`)
  })
  try {
    return await Promise.race([wholeJson(request), late])
  } finally {
    late.catch(() => {})
    settled.abort()
  }
}

async function wholeJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > BODY_LIMIT_BYTES)
      throw new RequestError(413, `request: body is larger than ${BODY_LIMIT_BYTES} bytes`)
    chunks.push(chunk)
  }
  if (size === 0) return null
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
  } catch {
    throw new RequestError(400, 'request: body is not JSON')
  }
}

/** What a client still sends of a body that nobody wants is let go by for so long. */
const REST_LIMIT_MS = 2_000

/** A body that may be given up in the middle, without the connection that the answer needs. */
export function bodyOf(request: IncomingMessage): Readable {
  const body = new PassThrough()
  // Who reads it hears of a client that goes away; where nobody does, nobody has to.
  body.on('error', () => {})
  finished(request, { writable: false }, (error) => {
    if (error) body.destroy(error)
  })
  return request.pipe(body)
}

/** Whoever is still writing when the connection closes hears of a broken pipe, and never of the answer. */
export async function letBodyPass(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return
  request.unpipe()
  request.resume()
  // However it ends: there is an answer to be given.
  await over(request, { writable: false, signal: AbortSignal.timeout(REST_LIMIT_MS) }).catch(
    () => {},
  )
}

/** A request that is wrong in itself, with its HTTP status. */
export class RequestError extends PakError {
  readonly status: number

  constructor(status: number, message: string) {
    super('usage', message)
    this.status = status
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** As the answer, or as the last line of a stream that has begun. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (response.destroyed || response.writableEnded) return
  const facts = errorFacts(error)
  if (!response.headersSent) {
    sendJson(response, statusOf(error), { error: facts })
    return
  }
  if (response.getHeader('content-type') !== LINES) {
    response.destroy()
    return
  }
  response.end(`${JSON.stringify({ type: 'error', error: facts })}\n`)
}

/** One object a line. Never waits: a reader that stalls loses its connection, and blocks nobody. */
export class LineWriter {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  write(line: object): void {
    const response = this.#response
    if (response.destroyed || response.writableEnded) return
    beginLines(response)
    response.write(`${JSON.stringify(line)}\n`)
    if (response.writableLength > BACKLOG_LIMIT_BYTES) response.destroy()
  }

  /** Resolves when all is handed to the kernel, or the reader is gone. */
  async end(): Promise<void> {
    const response = this.#response
    if (response.destroyed) return
    beginLines(response)
    await new Promise<void>((resolve) => {
      response.once('close', resolve)
      response.end(resolve)
    })
  }
}

const LINES = 'application/x-ndjson'

/** Set, not given to `writeHead`: only then can it be asked for later what was begun. */
function beginLines(response: ServerResponse): void {
  if (response.headersSent) return
  response.setHeader('content-type', LINES)
  response.writeHead(200)
}

function statusOf(error: unknown): number {
  if (error instanceof RequestError) return error.status
  if (!(error instanceof PakError)) return 500
  switch (error.code) {
    case 'usage':
    case 'manifest':
      return 400
    case 'not_found':
    case 'image_missing':
      return 404
    case 'conflict':
    case 'plan_stale':
    case 'unconfirmed':
    case 'port_taken':
    case 'subnet_taken':
      return 409
    default:
      return 500
  }
}
