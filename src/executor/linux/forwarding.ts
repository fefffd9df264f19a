import { hostname } from 'node:os'
import {
  addressText,
  type JournaldLogging,
  type Logging,
  type SyslogLogging,
} from '../../model/logging.ts'
import { readCursor, removeCursor, writeCursor } from '../../telemetry/forward/cursor.ts'
import { Forwarder, type Forwarding } from '../../telemetry/forward/forwarder.ts'
import { journalEntries } from '../../telemetry/forward/journal.ts'
import type { Sink } from '../../telemetry/forward/sink.ts'
import { StreamSink } from '../../telemetry/forward/stream-sink.ts'
import { framed, syslogMessages } from '../../telemetry/forward/syslog.ts'
import { UdpSink } from '../../telemetry/forward/udp-sink.ts'
import { endOfLog } from '../../telemetry/rotation.ts'
import type { ContainerRecord } from './records.ts'
import { UnixDatagrams } from './unix-datagrams.ts'
import { DatagramPool, UnixSink } from './unix-sink.ts'

export const JOURNAL_SOCKET = '/run/systemd/journal/socket'
/** For what a container wrote last, before its log goes. */
const FINISH_MS = 2_000

interface Followed {
  readonly forwarder: Forwarder
  readonly key: string
}

type Sent = SyslogLogging | JournaldLogging

/** Sends the lines of those containers whose `logging` says so, each by itself. */
export class LogForwarders implements Disposable {
  /** By log. */
  readonly #followed = new Map<string, Followed>()
  readonly #datagrams = new DatagramPool(
    (path) =>
      new UnixDatagrams(path, (count) =>
        warn(`\`${path}\`: ${count} messages are lost: they are longer than it takes`),
      ),
  )

  /** Before its monitor starts: what an earlier container's log holds, and was not to be sent, stays unsent. */
  begin(project: string, record: ContainerRecord, path: string): void {
    const { logging } = record.spec
    if (sentBy(logging) === null) {
      this.#stop(path)
      removeCursor(path)
      return
    }
    const end = readCursor(path) === null && !this.#followed.has(path) ? endOfLog(path) : null
    if (end !== null) writeCursor(path, end)
    this.follow(project, record, path)
  }

  follow(project: string, record: ContainerRecord, path: string): void {
    const logging = sentBy(record.spec.logging)
    if (logging === null) return
    const key = JSON.stringify([record.id, logging])
    if (this.#followed.get(path)?.key === key) return
    this.#stop(path)
    const forwarder = new Forwarder(this.#forwarding(project, record, { logging, path }))
    this.#followed.set(path, { forwarder, key })
  }

  /** When a log is about to go for good. */
  async finish(path: string): Promise<void> {
    const found = this.#followed.get(path)
    this.#followed.delete(path)
    if (found === undefined || (await found.forwarder.finish(FINISH_MS))) return
    warn(`the last lines of \`${path}\` were not sent: it is removed`)
  }

  [Symbol.dispose](): void {
    for (const path of [...this.#followed.keys()]) this.#stop(path)
  }

  #stop(path: string): void {
    this.#followed.get(path)?.forwarder[Symbol.dispose]()
    this.#followed.delete(path)
  }

  #forwarding(
    project: string,
    record: ContainerRecord,
    { logging, path }: { readonly logging: Sent; readonly path: string },
  ): Forwarding {
    const { name, id, service, spec } = record
    const image = spec.source.kind === 'image' ? spec.source.reference : spec.source.path
    const sender = { name, id, image, project, service, labels: spec.labels, hostname: hostname() }
    const rest = {
      source: { container: name, service, label: name, path },
      maxBytes: logging.maxBytes,
      warn,
    }
    if (logging.driver === 'journald')
      return {
        ...rest,
        to: 'journald',
        sink: this.#datagrams.sink(JOURNAL_SOCKET),
        encode: (message) => journalEntries(message, logging, sender),
      }
    return {
      ...rest,
      to: `syslog ${addressText(logging.address)}`,
      sink: this.#syslogSink(logging),
      encode: (message) => syslogMessages(message, logging, sender),
    }
  }

  #syslogSink({ address, format }: SyslogLogging): Sink {
    const frame = (message: Buffer) => framed(message, format)
    switch (address.kind) {
      case 'udp':
        return new UdpSink(address)
      case 'tcp':
        return new StreamSink(address, frame)
      case 'unix':
        return new UnixSink(new StreamSink(address, frame), () =>
          this.#datagrams.sink(address.path),
        )
    }
  }
}

function sentBy(logging: Logging | undefined): Sent | null {
  return logging?.driver === 'syslog' || logging?.driver === 'journald' ? logging : null
}

const warn = (text: string): void => process.emitWarning(text)
