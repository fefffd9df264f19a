import { connect, type Socket } from 'node:net'
import type { SyslogAddress } from '../../model/logging.ts'
import { type Sink, SinkClosed } from './sink.ts'

const CONNECT_LIMIT_MS = 10_000
/** So that a server which is gone without a word is missed. */
const KEEP_ALIVE_MS = 30_000

/**
 * TCP, or a unix socket that is a stream. A server that takes nothing holds up who sends, and nobody else. What the
 * kernel has taken for a connection that then breaks is lost: this protocol has no answers.
 */
export class StreamSink implements Sink {
  readonly #address: SyslogAddress
  readonly #frame: (message: Buffer) => Buffer
  #socket: Socket | null = null
  #closed = false

  constructor(address: SyslogAddress, frame: (message: Buffer) => Buffer) {
    this.#address = address
    this.#frame = frame
  }

  async send(messages: readonly Buffer[]): Promise<void> {
    if (this.#closed) throw new SinkClosed()
    const kept = this.#socket
    const socket = kept === null || kept.destroyed ? await this.#connect() : kept
    const frames = Buffer.concat(messages.map(this.#frame))
    await new Promise<void>((resolve, reject) => {
      const broken = () => reject(this.#closed ? new SinkClosed() : new Error('connection closed'))
      socket.once('close', broken)
      socket.write(frames, (error) => {
        socket.off('close', broken)
        // Node calls a write done, without an error, that was cut off by the end of its socket.
        if (error !== null && error !== undefined && !this.#closed) reject(error)
        else if (socket.destroyed) broken()
        else resolve()
      })
    })
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  async #connect(): Promise<Socket> {
    const address = this.#address
    const to = address.kind === 'unix' ? { path: address.path } : address
    const socket = connect({ ...to, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS })
    this.#socket = socket
    socket.setTimeout(CONNECT_LIMIT_MS, () => socket.destroy(new Error('no answer')))
    // A server that has hung up would let one more write succeed.
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = null
    })
    // Syslog servers say nothing; whatever comes must not pile up.
    socket.resume()
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(this.#closed ? new SinkClosed() : new Error('closed')))
    })
    socket.setTimeout(0)
    // From here on whoever sends hears of it by `close`.
    socket.on('error', () => {})
    return socket
  }
}
