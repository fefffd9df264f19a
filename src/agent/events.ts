import { appendFileSync, renameSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EventEmitter } from 'eventemitter3'
import type { PakEvent } from '../model/events.ts'

const LIMIT_BYTES = 1024 * 1024

/**
 * What has happened, for `pak events`: appended to a file of bounded size (two generations of 1 MiB)
 * and told to whoever listens.
 */
export class EventLog {
  readonly #path: string
  readonly #live = new EventEmitter<{ event: [PakEvent] }>()

  constructor(root: string) {
    this.#path = join(root, 'events.ndjson')
  }

  add(events: readonly PakEvent[]): void {
    if (events.length === 0) return
    this.#append(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
    for (const event of events) this.#live.emit('event', event)
  }

  /** Those of the file, oldest first; from `since` (RFC 3339) on. Torn lines are passed over. */
  async past(project: string | null, since: string | null): Promise<readonly PakEvent[]> {
    const texts = await Promise.all([readOrEmpty(`${this.#path}.1`), readOrEmpty(this.#path)])
    const from = since === null ? Number.NEGATIVE_INFINITY : Date.parse(since)
    return texts
      .flatMap((text) => text.split('\n').flatMap(parseEvent))
      .filter((event) => project === null || event.project === project)
      .filter((event) => Date.parse(event.time) >= from)
  }

  subscribe(listener: (event: PakEvent) => void): Disposable {
    this.#live.on('event', listener)
    return { [Symbol.dispose]: () => void this.#live.off('event', listener) }
  }

  #append(text: string): void {
    try {
      const size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
      if (size > LIMIT_BYTES) renameSync(this.#path, `${this.#path}.1`)
      appendFileSync(this.#path, text, { mode: 0o600 })
    } catch (error) {
      // History is worth less than the work: a full disk must not stop a repair.
      process.stderr.write(`events: ${error instanceof Error ? error.message : String(error)}\n`)
    }
  }
}

function parseEvent(line: string): readonly PakEvent[] {
  if (line === '') return []
  try {
    const event = JSON.parse(line) as PakEvent | null
    return typeof event?.time === 'string' && typeof event.project === 'string' ? [event] : []
  } catch {
    return []
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
