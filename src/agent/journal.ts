import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

const LIMIT_BYTES = 256 * 1024

/** What a plan was for: decides how a killed one is taken up again. */
export type Verb = 'up' | 'down' | 'action' | 'loop'

export type JournalEntry =
  | {
      readonly kind: 'begin'
      readonly time: string
      readonly verb: Verb
      readonly cause: string
      readonly steps: number
    }
  | { readonly kind: 'step'; readonly id: string; readonly outcome: 'done' | 'failed' | 'skipped' }
  | { readonly kind: 'end'; readonly time: string; readonly ok: boolean }

/** One plan being applied. */
export interface JournalRun {
  step(id: string, outcome: 'done' | 'failed' | 'skipped'): void
  end(time: string, ok: boolean): void
}

/**
 * Write down that a plan begins. The file stays open until the end: when the plan removes the project,
 * the rest goes to a file that has no name any more, and nothing is left behind.
 */
export function beginJournal(
  projectFolder: string,
  begin: Omit<Extract<JournalEntry, { kind: 'begin' }>, 'kind'>,
): JournalRun {
  const fd = openJournal(projectFolder)
  let complained = fd === null
  const write = (entry: JournalEntry) => {
    try {
      // A line torn by a full disk or a kill must not swallow this one.
      if (fd !== null) writeSync(fd, `\n${JSON.stringify(entry)}\n`)
    } catch (error) {
      if (!complained) complain(error)
      complained = true
    }
  }
  write({ kind: 'begin', ...begin })
  return {
    step: (id, outcome) => write({ kind: 'step', id, outcome }),
    end(time, ok) {
      write({ kind: 'end', time, ok })
      if (fd !== null) closeSync(fd)
    },
  }
}

/** `null` where there is no room: the work is worth more than what is written down of it. */
function openJournal(projectFolder: string): number | null {
  try {
    mkdirSync(projectFolder, { recursive: true, mode: 0o700 })
    const path = journalPath(projectFolder)
    rotate(path)
    return openSync(path, 'a', 0o600)
  } catch (error) {
    complain(error)
    return null
  }
}

const complain = (error: unknown) =>
  void process.stderr.write(`journal: ${error instanceof Error ? error.message : String(error)}\n`)

/** What the last plan was for when it never came to its end; `null` when there is none. */
export function unfinished(projectFolder: string): Verb | null {
  let verb: Verb | null = null
  for (const entry of readJournal(projectFolder)) {
    if (entry.kind === 'begin') verb = entry.verb
    if (entry.kind === 'end') verb = null
  }
  return verb
}

/** All entries that are whole; torn lines are passed over. */
export function readJournal(projectFolder: string): readonly JournalEntry[] {
  return readOrEmpty(journalPath(projectFolder)).split('\n').flatMap(parseLine)
}

export const journalPath = (projectFolder: string): string => join(projectFolder, 'journal.ndjson')

function parseLine(line: string): readonly JournalEntry[] {
  if (line === '') return []
  try {
    const entry = JSON.parse(line) as JournalEntry | null
    return entry?.kind === 'begin' || entry?.kind === 'step' || entry?.kind === 'end' ? [entry] : []
  } catch {
    return []
  }
}

function rotate(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size > LIMIT_BYTES) renameSync(path, `${path}.1`)
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
