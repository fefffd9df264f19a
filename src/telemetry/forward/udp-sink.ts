import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises'
import { type Sink, SinkClosed } from './sink.ts'

/** A receiver of usual size has room for more than so many at once. */
const BURST = 16
/** In this time a machine without a receiver, if it is near, has said so. */
const REFUSAL_MS = 2

/** UDP: what is lost on its way nobody learns. Only where the other machine says that nobody listens, it is sent again. */
export class UdpSink implements Sink {
  readonly #host: string
  readonly #port: number
  #socket: Socket | null = null
  #failure: Error | null = null
  #closed = false

  constructor({ host, port }: { readonly host: string; readonly port: number }) {
    this.#host = host
    this.#port = port
  }

  async send(messages: readonly Buffer[]): Promise<void> {
    try {
      const socket = this.#socket ?? (await this.#connect())
      for (const [index, message] of messages.entries()) {
        await new Promise<void>((resolve, reject) =>
          socket.send(message, (error) => (error ? reject(error) : resolve())),
        )
        if (index % BURST === BURST - 1) await breathe()
        this.#check()
      }
      await sleep(REFUSAL_MS)
      this.#check()
    } catch (error) {
      this.#drop()
      throw this.#closed ? new SinkClosed() : error
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#drop()
  }

  #check(): void {
    if (this.#closed) throw new SinkClosed()
    if (this.#failure !== null) throw this.#failure
  }

  /** The name is asked for anew each time: a server may move. */
  async #connect(): Promise<Socket> {
    const { address, family } = await lookup(this.#host)
    this.#check()
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    socket.on('error', (error) => {
      this.#failure = error
    })
    this.#socket = socket
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(this.#port, address, resolve)
    })
    return socket
  }

  #drop(): void {
    this.#failure = null
    this.#socket?.close()
    this.#socket = null
  }
}
