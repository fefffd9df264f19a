import { randomInt } from 'node:crypto'
import * as dgram from 'node:dgram'
import * as net from 'node:net'
import type { Kernel } from '../../kernel/kernel.ts'
import { serversOf } from '../names.ts'
import { answerCache } from './cache.ts'
import { frame, readFrames } from './frame.ts'
import { type Query, RCODE, refusal, truncate } from './message.ts'
import { readRecords } from './records.ts'

const ATTEMPT_MS = 2_000
const MAX_IN_FLIGHT = 512
/** One container that floods leaves room for the others. */
const MAX_IN_FLIGHT_PER_SOURCE = 64
const MAX_SERVERS = 3
/** A server that was silent is asked last for so long. */
const AVOID_MS = 10_000
const MAX_AVOIDED = 64

/**
 * The host's name servers. A loopback one (systemd-resolved's 127.0.0.53) is as good as any: it is
 * asked from the host's network namespace, not from the container's.
 */
export async function hostNameServers(kernel: Kernel): Promise<readonly string[]> {
  return serversOf((await kernel.readText('/etc/resolv.conf')) ?? '')
}

export interface ForwardRequest {
  readonly source: string
  readonly servers: readonly string[]
  readonly transport: 'udp' | 'tcp'
  readonly signal: AbortSignal
}

export type Forwarder = (query: Query, request: ForwardRequest) => Promise<Buffer>

export interface ForwarderOptions {
  readonly port?: number
  /** How long one server is waited for. */
  readonly attemptMs?: number
  /** Milliseconds that only grow. */
  readonly now?: () => number
}

/**
 * Asks one server after the other, unless it has the answer still; SERVFAIL when none answers in time
 * or too much is under way. The same question asked twice at once is asked outside once: where the way
 * out leads back to here, that ends the circle.
 */
export function forwarder({
  port = 53,
  attemptMs = ATTEMPT_MS,
  now = () => performance.now(),
}: ForwarderOptions = {}): Forwarder {
  const cache = answerCache()
  const underWay = new Map<string, Promise<Buffer>>()
  const avoided = new Map<string, number>()
  const bySource = new Map<string, number>()
  let total = 0
  return async (query, request) => {
    const { source } = request
    // Who is asked and asks us would be asked again, and so on.
    const servers = request.servers.filter((server) => server !== source).slice(0, MAX_SERVERS)
    const key = keyOf(query, request.transport, servers)
    const held = cache.get(key, now())
    if (held !== null) return addressed(held, query)
    const own = bySource.get(source) ?? 0
    if (total >= MAX_IN_FLIGHT || own >= MAX_IN_FLIGHT_PER_SOURCE) return failure(query)
    total++
    bySource.set(source, own + 1)
    try {
      const asked =
        underWay.get(key) ??
        askInTurn(query, { ...request, servers }, { port, attemptMs, now, avoided })
      underWay.set(key, asked)
      const found = await asked
      cache.put(key, found, now())
      return addressed(found, query)
    } finally {
      underWay.delete(key)
      total--
      const left = (bySource.get(source) ?? 1) - 1
      if (left > 0) bySource.set(source, left)
      else bySource.delete(source)
    }
  }
}

/** All that was asked but its id, and of whom; names differ in ASCII case only (RFC 4343). */
function keyOf(query: Query, transport: string, servers: readonly string[]): string {
  const { bytes, questionEnd } = query
  const question = bytes.toString('latin1', 12, questionEnd)
  const rest = `${bytes.toString('latin1', 2, 12)}${bytes.toString('latin1', questionEnd)}`
  const lower = question.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  return `${transport} ${servers.join(' ')} ${lower}${rest}`
}

/** The same answer to this asker: with its id, and its name as it wrote it. */
function addressed(message: Buffer, { bytes, questionEnd }: Query): Buffer {
  const copy = Buffer.from(message)
  bytes.copy(copy, 0, 0, 2)
  if (copy.readUInt16BE(4) === 1) bytes.copy(copy, 12, 12, questionEnd)
  return copy
}

interface Asking extends Required<ForwarderOptions> {
  /** Server -> when it was silent. */
  readonly avoided: Map<string, number>
}

async function askInTurn(query: Query, request: ForwardRequest, asking: Asking): Promise<Buffer> {
  const { port, attemptMs, now, avoided } = asking
  const silent = (server: string) => now() - (avoided.get(server) ?? -Infinity) < AVOID_MS
  const servers = [...request.servers].sort((a, b) => Number(silent(a)) - Number(silent(b)))
  const ask = request.transport === 'udp' ? askUdp : askTcp
  let refused: Buffer | null = null
  for (const server of servers) {
    if (request.signal.aborted) break
    // An id and a port of its own for each attempt: an answer cannot be guessed from outside.
    const asked = Buffer.from(query.bytes)
    asked.writeUInt16BE(randomInt(65_536), 0)
    using attempt = bounded(request.signal, attemptMs)
    const { signal } = attempt
    const found = await ask({ server, port, asked, questionEnd: query.questionEnd, signal })
    const whole = found !== null && (isCut(found) || readRecords(found) !== null)
    if (found === null || !whole) {
      if (avoided.size >= MAX_AVOIDED) avoided.clear()
      avoided.set(server, now())
      continue
    }
    avoided.delete(server)
    if (request.transport === 'udp' && found.length > query.udpBytes) return truncate(query)
    if (!CANNOT_SAY.has((found[3] ?? 0) & 0x0f)) return found
    refused ??= found
  }
  return refused ?? failure(query)
}

const isCut = (message: Buffer): boolean => ((message[2] ?? 0) & 0x02) !== 0

/** Of itself, not of the name: the next server may know. */
const CANNOT_SAY = new Set([RCODE.formErr, RCODE.servFail, RCODE.notImp, RCODE.refused])

/** Not AbortSignal.any: on a signal that lives as long as the agent it leaks one entry per query. */
export function bounded(
  outer: AbortSignal,
  ms: number,
): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController()
  const stop = () => controller.abort()
  const timer = setTimeout(stop, ms)
  outer.addEventListener('abort', stop, { once: true })
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      outer.removeEventListener('abort', stop)
    },
  }
}

const failure = (query: Query): Buffer => refusal(query, RCODE.servFail)

interface Attempt {
  readonly server: string
  readonly port: number
  readonly asked: Buffer
  readonly questionEnd: number
  readonly signal: AbortSignal
}

/** One question to one server; `null`: no answer in time. */
export function askUdp({
  server,
  port,
  asked,
  questionEnd,
  signal,
}: Attempt): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket(net.isIPv6(server) ? 'udp6' : 'udp4')
    const end = (found: Buffer | null) => {
      signal.removeEventListener('abort', give)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.close()
      resolve(found)
    }
    const give = () => end(null)
    signal.addEventListener('abort', give, { once: true })
    socket.once('error', give)
    socket.on('message', (found) => {
      if (answers(found, asked, questionEnd)) end(found)
    })
    // Connected: the kernel drops what comes from anybody else.
    socket.once('connect', () => socket.send(asked))
    socket.connect(port, server)
  })
}

function askTcp({ server, port, asked, questionEnd, signal }: Attempt): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: server, port })
    const end = (found: Buffer | null) => {
      signal.removeEventListener('abort', give)
      socket.destroy()
      resolve(found)
    }
    const give = () => end(null)
    signal.addEventListener('abort', give, { once: true })
    socket.on('error', give)
    socket.once('close', give)
    socket.once('connect', () => socket.write(frame(asked)))
    readFrames(socket, (found) => end(answers(found, asked, questionEnd) ? found : null))
  })
}

/** The same id, the same question, and an answer at all. */
function answers(found: Buffer, asked: Buffer, questionEnd: number): boolean {
  if (found.length < 12 || !((found[2] ?? 0) & 0x80)) return false
  if (found.readUInt16BE(0) !== asked.readUInt16BE(0)) return false
  // Some servers refuse with the header only.
  if (found.readUInt16BE(4) === 0) return found.length === 12
  const [theirs, ours] = [found, asked].map((bytes) =>
    bytes.toString('latin1', 12, questionEnd).toLowerCase(),
  )
  return theirs === ours
}
