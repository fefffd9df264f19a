import { type ClientRequest, type IncomingMessage, request as send } from 'node:http'
import type { Duplex } from 'node:stream'
import { connect as secure } from 'node:tls'
import type { HttpTest } from '../model/desired.ts'

/** What came of asking, in the words of a command: 0 is good. */
export interface Answer {
  readonly exitCode: 0 | 1
  /** For a reader; holds what the other side said, as it said it. */
  readonly output: string
}

/** A stream to a port; rejects when nobody takes the connection, or the signal fires. */
export type Connect = (port: number, signal: AbortSignal) => Promise<Duplex>

const HEADER_BYTES = 16 * 1024
const BODY_BYTES = 4096
/** The status is the answer; the rest is worth no more than this. */
const BODY_LIMIT_MS = 500
/** Interim answers (1xx) in a row. */
const MOST_INTERIM = 10

/** Whether a port takes connections. Rejects only when the signal fires. */
export async function askTcp(connect: Connect, port: number, signal: AbortSignal): Promise<Answer> {
  return answered(`tcp :${port}`, signal, async () => {
    const stream = await connect(port, signal)
    stream.destroy()
    return { exitCode: 0, output: 'connected' }
  })
}

/**
 * One HTTP/1.1 request. The answer is hostile: its head, its body and its time are bounded, it steers
 * nothing, no redirect is followed and the certificate is not looked at. Rejects only when the signal fires.
 */
export async function askHttp(
  connect: Connect,
  test: HttpTest,
  signal: AbortSignal,
): Promise<Answer> {
  const { method, tls, port, path, statuses } = test
  const what = `${method} ${tls ? 'https' : 'http'}://:${port}${path}`
  return answered(what, signal, async () => {
    const plain = await connect(port, signal)
    const stream = tls ? secure({ socket: plain, rejectUnauthorized: false }) : plain
    // Whoever cuts the connection when all is said must not end the agent.
    for (const side of [plain, stream]) side.on('error', () => {})
    try {
      const response = await responseTo(test, stream, signal)
      const status = response.statusCode ?? 0
      const good = statuses.some(({ least, most }) => status >= least && status <= most)
      const body = await beginning(response)
      const output = `${status} ${response.statusMessage ?? ''}`.trim()
      return { exitCode: good ? 0 : 1, output: body === '' ? output : `${output}\n${body}` }
    } finally {
      stream.destroy()
      plain.destroy()
    }
  })
}

async function answered(
  what: string,
  signal: AbortSignal,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  try {
    const { exitCode, output } = await ask()
    return { exitCode, output: `${what}: ${output}` }
  } catch (error) {
    if (signal.aborted) throw error
    const reason = error instanceof Error ? error.message || error.name : String(error)
    return { exitCode: 1, output: `${what}: ${reason}` }
  }
}

function responseTo(
  { method, path, headers, port }: HttpTest,
  stream: Duplex,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const named = Object.keys(headers).some((name) => name.toLowerCase() === 'host')
  return new Promise((resolve, reject) => {
    const request: ClientRequest = send({
      method,
      path,
      headers: {
        ...(named ? {} : { Host: port === 80 ? 'localhost' : `localhost:${port}` }),
        'User-Agent': 'pak-health',
        Accept: '*/*',
        Connection: 'close',
        ...headers,
      },
      maxHeaderSize: HEADER_BYTES,
      createConnection: () => stream,
      signal,
    })
    let interim = 0
    request.on('information', () => {
      interim += 1
      if (interim > MOST_INTERIM) request.destroy(new Error('it only says that it goes on'))
    })
    request.on('error', reject)
    request.on('upgrade', () => reject(new Error('it changes the protocol')))
    request.on('response', resolve)
    stream.once('close', () => reject(new Error('it closed the connection without an answer')))
    request.end()
  })
}

/** How the body begins, as far as it comes soon; what is wrong with it does not change the status. */
async function beginning(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, BODY_LIMIT_MS)
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    for (const event of ['end', 'error', 'aborted', 'close']) response.once(event, end)
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size >= BODY_BYTES) end()
    })
  })
  response.on('error', () => {})
  response.destroy()
  return Buffer.concat(chunks).subarray(0, BODY_BYTES).toString('utf8').trim()
}
