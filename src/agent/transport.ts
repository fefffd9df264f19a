import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFromFacts, PakError } from '../errors.ts'
import type { ErrorFacts } from '../model/events.ts'

/** A name of its own, though a socket has none: Node looks for one in the header, which takes it 2 ms. */
const AGENT_OPTIONS = { keepAlive: true, maxFreeSockets: 2, servername: '' }
const RETRY_FOR_MS = 3_000
const RETRY_EVERY_MS = 40
/** So long may an answer take before the agent is asked whether it lives at all. */
const SILENCE_MS = 10_000

export interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  /**
   * A body that is still being made. The head goes ahead, and the agent does what it can with that. When
   * it rejects, the request is taken back, and the call rejects with the same.
   */
  readonly pending?: Promise<unknown>
  /** Sent as it is, instead of `body`. */
  readonly upload?: Readable
  readonly signal?: AbortSignal | undefined
  /** Asking twice is as good as once: it is asked again when the agent died over it. */
  readonly idempotent: boolean
}

/** HTTP over the agent's socket. */
export class Transport {
  readonly #socketPath: string
  readonly #revive: (() => Promise<void>) | null
  readonly #agent = new Agent(AGENT_OPTIONS)

  /** `revive` starts an agent where there is none any more. */
  constructor(socketPath: string, revive: (() => Promise<void>) | null) {
    this.#socketPath = socketPath
    this.#revive = revive
  }

  /** The answer as JSON. */
  async json(call: Call): Promise<unknown> {
    const response = await this.#send(call)
    const text = await textOf(response).catch((error: unknown) => {
      throw broken(call, error)
    })
    return parse(call, text)
  }

  /** The answer as it comes. */
  stream(call: Call): Promise<Readable> {
    return this.#send(call)
  }

  /** The lines of the answer, as they come. Ends with an error when the agent ends in the middle. */
  async *lines(call: Call): AsyncGenerator<object> {
    const response = await this.#send(call)
    let said: Error | null = null
    try {
      for await (const line of createInterface({ input: response })) {
        const value = parse(call, line)
        if (typeof value !== 'object' || value === null) continue
        if (isErrorLine(value)) {
          said = errorFromFacts(value.error)
          throw said
        }
        yield value
      }
    } catch (error) {
      throw error === said || error instanceof PakError ? error : broken(call, error)
    } finally {
      response.destroy()
    }
    if (response.errored !== null) throw broken(call, response.errored)
  }

  async #send(call: Call): Promise<IncomingMessage> {
    const deadline = performance.now() + RETRY_FOR_MS
    for (;;) {
      try {
        return await this.#refused(call, await this.#withWatch(call))
      } catch (error) {
        if (call.signal?.aborted) throw new PakError('cancelled', `${nameOf(call)}: interrupted`)
        const code = error instanceof Error && 'code' in error ? error.code : null
        const unsent = code === 'ENOENT' || code === 'ECONNREFUSED'
        const lost = code === 'ECONNRESET' || code === 'EPIPE'
        const again = unsent || (lost && call.idempotent && call.upload === undefined)
        if (error instanceof PakError || code === null) throw error
        if (!again || performance.now() > deadline) throw broken(call, error)
        if (unsent && this.#revive !== null) await this.#revive()
        else await sleep(RETRY_EVERY_MS)
      }
    }
  }

  /** While nothing comes back, make sure now and then that somebody is there. */
  async #withWatch(call: Call): Promise<IncomingMessage> {
    const silent = new AbortController()
    const watch = setInterval(() => {
      const signal = AbortSignal.timeout(SILENCE_MS)
      this.#once({ method: 'GET', path: '/v1/status', idempotent: true, signal }).then(
        (response) => response.resume(),
        () => silent.abort(),
      )
    }, SILENCE_MS)
    const signals = [silent.signal, ...(call.signal === undefined ? [] : [call.signal])]
    try {
      return await this.#once({ ...call, signal: AbortSignal.any(signals) })
    } catch (error) {
      if (!silent.signal.aborted) throw error
      throw new PakError('agent', `${nameOf(call)}: the agent does not answer`, {
        hint: 'see agent.log beside its socket',
      })
    } finally {
      clearInterval(watch)
    }
  }

  #once({ method, path, body, pending, upload, signal }: Call): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? null : JSON.stringify(body)
      const request = httpRequest({
        socketPath: this.#socketPath,
        agent: this.#agent,
        method,
        path,
        headers: { host: 'pak', ...(text === null ? {} : bodyHeaders(text)) },
        ...(signal === undefined ? {} : { signal }),
      })
      request.once('response', resolve)
      request.once('error', reject)
      if (pending !== undefined) {
        request.flushHeaders()
        pending.then(
          (late) => request.end(JSON.stringify(late)),
          (error) => request.destroy(error),
        )
      } else if (upload === undefined) request.end(text ?? undefined)
      else upload.once('error', (error) => request.destroy(error)).pipe(request)
    })
  }

  /** A refusal, as the error that it was on the other side. */
  async #refused(call: Call, response: IncomingMessage): Promise<IncomingMessage> {
    if (response.statusCode === 200) return response
    const answer = parse(call, await textOf(response))
    if (typeof answer === 'object' && answer !== null && isErrorLine(answer))
      throw errorFromFacts(answer.error)
    throw new PakError('agent', `${nameOf(call)}: HTTP ${response.statusCode}`)
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  response.setEncoding('utf8')
  for await (const chunk of response as AsyncIterable<string>) text += chunk
  return text
}

function parse(call: Call, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new PakError('agent', `${nameOf(call)}: the answer is not JSON`, { cause })
  }
}

const isErrorLine = (value: object): value is { error: ErrorFacts } => {
  if (!('error' in value) || typeof value.error !== 'object' || value.error === null) return false
  const isFailedStep = 'type' in value && value.type !== 'error'
  return !isFailedStep && 'code' in value.error && 'message' in value.error
}

const bodyHeaders = (text: string) => ({
  'content-type': 'application/json',
  'content-length': String(Buffer.byteLength(text)),
})

function broken(call: Call, cause: unknown): PakError {
  if (call.signal?.aborted) return new PakError('cancelled', `${nameOf(call)}: interrupted`)
  return new PakError('agent', `${nameOf(call)}: the agent ended in the middle`, {
    hint: 'run the command again: it goes on from what is there',
    cause,
  })
}

/** `/v1/projects/shop/up` is `up`. */
const nameOf = ({ path }: Call): string => path.split('?')[0]?.split('/').at(-1) ?? path
