import { setTimeout as sleep } from 'node:timers/promises'
import { ContainerLog, type LogEntry } from '../container-log.ts'
import type { LogSource } from '../sources.ts'
import { type Cursor, readCursor, writeCursor } from './cursor.ts'
import type { Message } from './message.ts'
import { type Sink, SinkClosed } from './sink.ts'

export interface Forwarding {
  readonly source: LogSource
  /** For messages: `syslog udp://192.0.2.1:514`. */
  readonly to: string
  readonly sink: Sink
  readonly encode: (message: Message) => readonly Buffer[]
  /** What one file of the log may hold. */
  readonly maxBytes: number
  readonly warn: (text: string) => void
}

/** How soon a line is seen where lines came lately, and where none did: looking costs a little, writing must not. */
const LIVELY_MS = 200
const IDLE_MS = 1_000
const LIVELY_FOR_MS = 5_000
/** A line that has begun is sent after this long, though its end has not come. */
const PARTIAL_MS = 1_000
const SAVE_MS = 1_000
const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 30_000

/**
 * Sends what a container writes from its log on this machine: that is where lines wait for a server that is away or takes
 * nothing, for an agent that is, and nobody who writes waits for either. What the log's own bound has overwritten meanwhile
 * is told as lost. Where sending has got to is kept beside the log; after a crash the last second may be sent twice. Memory
 * holds one chunk of the log.
 */
export class Forwarder {
  readonly #forwarding: Forwarding
  readonly #log: ContainerLog
  readonly #stopped = new AbortController()
  #wake: AbortController = new AbortController()
  #finishing = false
  #isFailing = false
  #heardAt = 0
  #savedAt = 0
  #saved: Cursor | null = null
  /** Something has been read from the log, or is being, that is not sent yet. */
  #isOnItsWay = true
  readonly #done: Promise<boolean>

  constructor(forwarding: Forwarding) {
    this.#forwarding = forwarding
    this.#log = new ContainerLog(forwarding.source)
    this.#done = this.#run()
      .catch((error: unknown) => {
        forwarding.warn(`${forwarding.to}: ${String(error)}`)
        return false
      })
      .finally(() => this.#log.close())
  }

  /** Send what is left, for so long. False: not all of it was. A server that is away is not waited for. */
  async finish(graceMs: number): Promise<boolean> {
    this.#finishing = true
    this.#wake.abort()
    const over = sleep(this.#isFailing ? 0 : graceMs, null)
    const isSent = await Promise.race([this.#done, over])
    this[Symbol.dispose]()
    await this.#done
    return isSent === true
  }

  [Symbol.dispose](): void {
    if (this.#stopped.signal.aborted) return
    if (!this.#isOnItsWay) this.#save()
    this.#stopped.abort()
    this.#wake.abort()
    this.#forwarding.sink[Symbol.dispose]()
  }

  /** Resolves to true when all there was has been sent, and no more is to come. */
  async #run(): Promise<boolean> {
    const { source, encode } = this.#forwarding
    const cursor = readCursor(source.path)
    if (cursor === null) await this.#log.seek(null)
    else await this.#log.resume(cursor)
    while (!this.#stopped.signal.aborted) {
      this.#isOnItsWay = true
      const messages = await this.#next()
      if (messages.length === 0) {
        this.#isOnItsWay = false
        this.#save()
        if (this.#finishing) return true
        await this.#rest()
      } else if (await this.#deliver(messages.flatMap(encode))) {
        if (performance.now() - this.#savedAt > SAVE_MS) this.#save()
      } else return false
    }
    return false
  }

  async #next(): Promise<readonly Message[]> {
    const entries = await this.#log.read()
    const now = performance.now()
    if (entries.length > 0) this.#heardAt = now
    const isDue = this.#finishing || now - this.#heardAt >= PARTIAL_MS
    const shown = entries.length === 0 && isDue ? this.#log.flush() : entries
    const missed = this.#log.missed()
    return [...(missed === 0 ? [] : [this.#lost(missed)]), ...shown.map(messageOf)]
  }

  #lost(files: number): Message {
    const { source, to, maxBytes, warn } = this.#forwarding
    const size = `${files} full ${files === 1 ? 'file' : 'files'} of up to ${maxBytes} bytes`
    const text = `lines of ${source.container} are lost: ${size} went before they could be sent`
    warn(`${to}: ${text}`)
    return {
      severity: 4,
      time: new Date().toISOString(),
      text: Buffer.from(`pak: ${text}`),
      whole: true,
    }
  }

  async #deliver(messages: readonly Buffer[]): Promise<boolean> {
    const { sink, to, warn, source } = this.#forwarding
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS)) {
      try {
        await sink.send(messages)
        if (this.#isFailing) warn(`${to}: takes lines of ${source.container} again`)
        this.#isFailing = false
        return true
      } catch (error) {
        if (error instanceof SinkClosed || this.#stopped.signal.aborted) return false
        if (!this.#isFailing)
          warn(`${to}: ${reasonOf(error)}; lines of ${source.container} wait in its log`)
        this.#isFailing = true
        if (this.#finishing) return false
      }
      await this.#pause(delayMs)
    }
  }

  #rest(): Promise<void> {
    const isLively = performance.now() - this.#heardAt < LIVELY_FOR_MS
    return this.#pause(isLively ? LIVELY_MS : IDLE_MS)
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stopped.signal.aborted) return
    this.#wake = new AbortController()
    if (this.#finishing) return
    await sleep(ms, undefined, { ref: false, signal: this.#wake.signal }).catch(() => {})
  }

  #save(): void {
    this.#savedAt = performance.now()
    const position = this.#log.position()
    if (position === null || isSame(position, this.#saved)) return
    writeCursor(this.#forwarding.source.path, position)
    this.#saved = position
  }
}

const isSame = (one: Cursor, other: Cursor | null): boolean =>
  one.number === other?.number && one.offset === other.offset

const messageOf = ({ stream, time, text, whole }: LogEntry): Message => ({
  severity: stream === 'stderr' ? 3 : 6,
  time,
  text,
  whole,
})

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
