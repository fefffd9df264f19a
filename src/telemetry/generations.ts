import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises'
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
export async function generationsOf(logPath: string): Promise<readonly Generation[]> {
  // Before the list: a file that came in between is then in the list, never passed over.
  const current = await orNull(stat(logPath))
  const numbers = await numbersOf(logPath)
  const kept = await Promise.all(
    numbers.map(async (number): Promise<Generation | null> => {
      const path = generationPath(logPath, number)
      const inode = (await orNull(stat(path)))?.ino
      return inode === undefined ? null : { number, path, inode }
    }),
  )
  const found = kept.filter((generation) => generation !== null)
  if (current === null || found.some(({ inode }) => inode === current.ino)) return found
  return [...found, { number: null, path: logPath, inode: current.ino }]
}

/** Numbers of the kept files, in order. */
export async function numbersOf(logPath: string): Promise<readonly number[]> {
  const prefix = `${basename(logPath)}.`
  return ((await orNull(readdir(keptFolder(logPath)))) ?? [])
    .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b)
}

/** The number that the log, or what follows it, is a link to; it need not be there yet. */
export async function linkedNumber(path: string, logPath: string): Promise<number | null> {
  const target = await orNull(readlink(path))
  const prefix = `${join('kept', basename(logPath))}.`
  const number = target?.startsWith(prefix) === true ? target.slice(prefix.length) : ''
  return /^\d{1,15}$/.test(number) ? Number(number) : null
}

export const isThere = async (path: string): Promise<boolean> =>
  (await orNull(lstat(path))) !== null

/** Streams that a file begins with the rest of a line of; `first`: that of its first entry may be one. */
export async function brokenStreams(generation: string): Promise<readonly string[]> {
  const text = await orNull(readFile(brokenPath(generation), 'utf8'))
  return (text ?? '').split(' ').filter((word) => ['stdout', 'stderr', 'first'].includes(word))
}

export async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    // Files of a log come and go; whatever else is wrong with the disk must be heard.
    if (error instanceof Error && 'code' in error && MISSING.has(String(error.code))) return null
    throw error
  }
}

const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EINVAL'])
