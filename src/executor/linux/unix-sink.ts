import { type Sink, SinkClosed } from '../../telemetry/forward/sink.ts'
import type { UnixDatagrams } from './unix-datagrams.ts'

/** A path says nothing of what listens there: a stream is tried, and datagrams where the kernel says that it is none. */
export class UnixSink implements Sink {
  readonly #stream: Sink
  readonly #makeDatagrams: () => Sink
  #datagrams: Sink | null = null

  constructor(stream: Sink, makeDatagrams: () => Sink) {
    this.#stream = stream
    this.#makeDatagrams = makeDatagrams
  }

  async send(messages: readonly Buffer[]): Promise<void> {
    try {
      if (this.#datagrams === null) return await this.#stream.send(messages)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EPROTOTYPE')) throw error
      this.#datagrams = this.#makeDatagrams()
    }
    try {
      await this.#datagrams.send(messages)
    } catch (error) {
      // Whoever comes after may be of the other kind.
      this.#datagrams[Symbol.dispose]()
      this.#datagrams = null
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]()
    this.#datagrams?.[Symbol.dispose]()
  }
}

/** One process for each socket, however many containers write there. */
export class DatagramPool {
  readonly #make: (path: string) => UnixDatagrams
  readonly #shared = new Map<string, { readonly sink: UnixDatagrams; users: number }>()

  constructor(make: (path: string) => UnixDatagrams) {
    this.#make = make
  }

  sink(path: string): Sink {
    const shared = this.#shared.get(path) ?? { sink: this.#make(path), users: 0 }
    this.#shared.set(path, shared)
    shared.users += 1
    let isOpen = true
    let close: (error: Error) => void = () => {}
    const closed = new Promise<never>((_, reject) => {
      close = reject
    })
    closed.catch(() => {})
    return {
      send: (messages) =>
        isOpen
          ? Promise.race([shared.sink.send(messages), closed])
          : Promise.reject(new SinkClosed()),
      [Symbol.dispose]: () => {
        if (!isOpen) return
        isOpen = false
        close(new SinkClosed())
        shared.users -= 1
        if (shared.users > 0) return
        shared.sink[Symbol.dispose]()
        this.#shared.delete(path)
      },
    }
  }
}
