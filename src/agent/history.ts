import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PakEvent } from '../model/events.ts'

/** Two generations of it are kept for each project. */
const LIMIT_BYTES = 512 * 1024
/** Of so many projects, those that something happened to last. */
const MOST_PROJECTS = 100
const MOST_CHARACTERS = 1000
const MOST_ITEMS = 100
const SUFFIX = '.ndjson'

/**
 * The files below `<root>/events`: one event a line, two generations of 512 KiB for each project, so that
 * one which crashes all day cannot push out what happened to another. They outlive `down`, and go when
 * something has happened to a hundred other projects since. Append-only: a kill or a full disk can tear
 * the last line, which is passed over.
 */
export class HistoryFiles {
  readonly #folder: string
  /** Files whose last line is whole, as far as this process knows. */
  readonly #whole = new Set<string>()

  constructor(root: string) {
    this.#folder = join(root, 'events')
  }

  /** Throws what the file system says. */
  append(project: string, events: readonly PakEvent[]): void {
    const path = this.#path(project)
    const known = this.#whole.delete(path)
    if (!known) this.#makeRoom(path)
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LIMIT_BYTES)
      renameSync(path, `${path}.1`)
    const text = events.map((event) => `${JSON.stringify(event, bounded)}\n`).join('')
    appendFileSync(path, known ? text : `\n${text}`, { mode: 0o600 })
    this.#whole.add(path)
  }

  /** Oldest first; `null`: of every project. */
  async read(project: string | null): Promise<readonly PakEvent[]> {
    const projects = project === null ? await this.#projects() : [project]
    const texts = await Promise.all(
      projects.flatMap((name) => {
        const path = this.#path(name)
        return [readOrEmpty(`${path}.1`), readOrEmpty(path)]
      }),
    )
    const events = texts.flatMap((text) => text.split('\n').flatMap(parseEvent))
    return projects.length === 1 ? events : events.sort(byTime)
  }

  #makeRoom(path: string): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const others = readdirSync(this.#folder)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => join(this.#folder, name))
      .filter((other) => other !== path)
    if (others.length < MOST_PROJECTS) return
    const aged = others.map((other) => ({
      other,
      at: statSync(other, { throwIfNoEntry: false })?.mtimeMs ?? 0,
    }))
    const oldest = aged.sort((a, b) => a.at - b.at).slice(0, others.length - MOST_PROJECTS + 1)
    for (const { other } of oldest)
      for (const file of [other, `${other}.1`]) rmSync(file, { force: true })
  }

  async #projects(): Promise<readonly string[]> {
    try {
      const names = await readdir(this.#folder)
      return names.flatMap((name) => (name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : []))
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }

  #path(project: string): string {
    return join(this.#folder, `${project}${SUFFIX}`)
  }
}

/** A value of the manifest may be as long as its author likes; a line may not. */
function bounded(_key: string, value: unknown): unknown {
  if (typeof value === 'string' && value.length > MOST_CHARACTERS)
    return `${value.slice(0, MOST_CHARACTERS)}…`
  return Array.isArray(value) && value.length > MOST_ITEMS ? value.slice(0, MOST_ITEMS) : value
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
    if (isMissing(error)) return ''
    throw error
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

const byTime = (one: PakEvent, other: PakEvent): number =>
  Date.parse(one.time) - Date.parse(other.time)
