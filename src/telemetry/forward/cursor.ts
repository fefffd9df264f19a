import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { keptFolder, orNull } from '../generations.ts'

/** Where in a log the first line begins that has not been sent. */
export interface Cursor {
  /** Of the kept file. */
  readonly number: number
  readonly offset: number
}

const pathOf = (logPath: string): string => join(keptFolder(logPath), `${basename(logPath)}.sent`)

/** `null`: nothing of this log has been sent yet, or nobody can tell. */
export function readCursor(logPath: string): Cursor | null {
  const text = orNull(() => readFileSync(pathOf(logPath), 'utf8'))
  const [, number, offset] = /^(\d{1,15}) (\d{1,15})\n$/.exec(text ?? '') ?? []
  return number === undefined ? null : { number: Number(number), offset: Number(offset) }
}

export function writeCursor(logPath: string, { number, offset }: Cursor): void {
  const path = pathOf(logPath)
  writeFileSync(`${path}.new`, `${number} ${offset}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

export function removeCursor(logPath: string): void {
  for (const path of [pathOf(logPath), `${pathOf(logPath)}.new`]) rmSync(path, { force: true })
}
