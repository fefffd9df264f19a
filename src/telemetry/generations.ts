import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** One file of a log that is kept in several, each numbered higher than the one before. */
export interface Generation {
  /** `null`: the monitor began it while nobody gave out numbers. It is the newest. */
  readonly number: number | null
  readonly path: string
  readonly inode: number
}

/** Folder of the files, beside the logs themselves, which are links into it. */
export const keptFolder = (logPath: string): string => join(dirname(logPath), 'kept')

export const generationPath = (logPath: string, number: number): string =>
  join(keptFolder(logPath), `${basename(logPath)}.${number}`)

/** Says of which streams the file's first entry goes on with a line whose begin is gone. */
export const brokenPath = (generation: string): string => `${generation}.broken`

/** The files of a log, the oldest first; the last is the one being written. */
export function generationsOf(logPath: string): readonly Generation[] {
  // Before the list: a file that came in between is then in the list, never passed over.
  const current = orNull(() => statSync(logPath))
  const found = numbersOf(logPath).flatMap((number): readonly Generation[] => {
    const path = generationPath(logPath, number)
    const inode = orNull(() => statSync(path))?.ino
    return inode === undefined ? [] : [{ number, path, inode }]
  })
  if (current === null || found.some(({ inode }) => inode === current.ino)) return found
  return [...found, { number: null, path: logPath, inode: current.ino }]
}

/** Numbers of the kept files, in order. */
export function numbersOf(logPath: string): readonly number[] {
  const prefix = `${basename(logPath)}.`
  return (orNull(() => readdirSync(keptFolder(logPath))) ?? [])
    .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
}

/** The number that the log, or what follows it, is a link to; it need not be there yet. */
export function linkedNumber(path: string, logPath: string): number | null {
  const target = orNull(() => readlinkSync(path))
  const prefix = `${join('kept', basename(logPath))}.`
  const number = target?.startsWith(prefix) === true ? target.slice(prefix.length) : ''
  return /^\d{1,15}$/.test(number) ? Number(number) : null
}

export const isThere = (path: string): boolean => orNull(() => lstatSync(path)) !== null

/** Streams that a file begins with the rest of a line of; `first`: that of its first entry may be one. */
export function brokenStreams(generation: string): readonly string[] {
  const text = orNull(() => readFileSync(brokenPath(generation), 'utf8'))
  return (text ?? '').split(' ').filter((word) => ['stdout', 'stderr', 'first'].includes(word))
}

export function orNull<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    // Files of a log come and go; whatever else is wrong with the disk must be heard.
    if (isMissing(error)) return null
    throw error
  }
}

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && MISSING.has(String(error.code))

const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EINVAL'])
