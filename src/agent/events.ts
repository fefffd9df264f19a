import { EventEmitter } from 'eventemitter3'
import type { PakEvent } from '../model/events.ts'
import { HistoryFiles } from './history.ts'

/** What happens, for `pak events`: written down within bounds, and told to whoever listens. */
export class EventLog {
  readonly #files: HistoryFiles
  readonly #live = new EventEmitter<{ event: [PakEvent] }>()
  #failing = false

  constructor(root: string) {
    this.#files = new HistoryFiles(root)
  }

  add(events: readonly PakEvent[]): void {
    for (const project of new Set(events.map((event) => event.project)))
      this.#append(
        project,
        events.filter((event) => event.project === project),
      )
    for (const event of events) this.#live.emit('event', event)
  }

  /** Those of the files, oldest first; from `since` (RFC 3339) on. Torn lines are passed over. */
  async past(project: string | null, since: string | null): Promise<readonly PakEvent[]> {
    const from = since === null ? Number.NEGATIVE_INFINITY : Date.parse(since)
    return (await this.#files.read(project)).filter(({ time }) => Date.parse(time) >= from)
  }

  subscribe(listener: (event: PakEvent) => void): Disposable {
    this.#live.on('event', listener)
    return { [Symbol.dispose]: () => void this.#live.off('event', listener) }
  }

  #append(project: string, events: readonly PakEvent[]): void {
    try {
      this.#files.append(project, events)
      this.#failing = false
    } catch (error) {
      // History is worth less than the work: a full disk must not stop a repair, nor fill the agent's log.
      if (!this.#failing)
        process.stderr.write(`events: ${error instanceof Error ? error.message : String(error)}\n`)
      this.#failing = true
    }
  }
}
