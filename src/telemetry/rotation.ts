import {
  closeSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parseLine } from './cri.ts'
import { type Cursor, removeCursor } from './forward/cursor.ts'
import {
  brokenPath,
  generationPath,
  generationsOf,
  isThere,
  keptFolder,
  linkedNumber,
  numbersOf,
  orNull,
} from './generations.ts'

export interface Rotation {
  readonly maxBytes: number
  readonly maxFiles: number
}

/** What the monitor renames over the log when a file is full. */
const NEXT = '.tmp'
export const LOG_SUFFIX = '.log'

/** The log that a changed name in its folder is of; null: of none. */
export function rotatedLog(name: string): string | null {
  const log = name.endsWith(NEXT) ? name.slice(0, -NEXT.length) : name
  return log.endsWith(LOG_SUFFIX) ? log : null
}

/**
 * Make a log ready for a monitor that starts, and say how many bytes it may write to a file. The log is
 * a link to the file that is written, `kept/<log>.<n>`; the monitor finds its next one as a link at
 * `<log>.tmp`, so that its own rotation, which destroys the file before, destroys only a link. When the
 * next link is missing, as nobody made it in time, the monitor's rotation goes on in one file alone: the
 * disk is bounded by it in any case. No monitor may be writing to this log.
 */
export async function beginLog(logPath: string, { maxBytes, maxFiles }: Rotation): Promise<number> {
  mkdirSync(keptFolder(logPath), { recursive: true, mode: 0o700 })
  let number = linkedNumber(logPath, logPath)
  if (number === null && isThere(logPath)) number = await keepPlainFile(logPath)
  const size = number === null ? 0 : (orNull(() => statSync(logPath))?.size ?? 0)
  // The monitor counts from 0, though it appends: what is there already is taken off its share.
  const isFull = size * 2 >= maxBytes
  const current =
    number === null || isFull ? (numbersOf(logPath).at(-1) ?? number ?? 0) + 1 : number
  // The next one first: whoever hears of the log finds nothing to do.
  if (maxFiles > 1) await replaceLink(`${logPath}${NEXT}`, logPath, current + 1)
  else rmSync(`${logPath}${NEXT}`, { force: true })
  if (current !== number) await replaceLink(logPath, logPath, current)
  prune(logPath, maxFiles)
  return maxBytes - (isFull ? 0 : size)
}

/** Where what is written from now on begins; `null` while the file has no number. */
export function endOfLog(logPath: string): Cursor | null {
  const number = linkedNumber(logPath, logPath)
  if (number === null) return null
  return { number, offset: orNull(() => statSync(logPath))?.size ?? 0 }
}

/** After the monitor went on to another file: give it the next, and let the oldest go. */
export function advanceLog(logPath: string, maxFiles: number): void {
  const next = `${logPath}${NEXT}`
  if (maxFiles > 1) {
    // Nobody took it: nothing was rotated. As long as there is none, the log cannot become a link with a
    // higher number.
    if (isThere(next)) return
    const newest = newestNumber(logPath) ?? adopt(logPath)
    // If the monitor is just making a plain file of this name, it goes on in that one.
    if (newest !== null) linkTo(logPath, next, newest + 1)
  }
  prune(logPath, maxFiles)
}

/** The log with all its files. */
export function removeLog(logPath: string): void {
  const numbers = numbersOf(logPath)
  rmSync(logPath, { force: true })
  rmSync(`${logPath}${NEXT}`, { force: true })
  rmSync(brokenPath(logPath), { force: true })
  removeCursor(logPath)
  for (const number of numbers) removeGeneration(generationPath(logPath, number))
}

/** A plain file, as a monitor makes it that was given no link, becomes one of the kept ones. */
async function keepPlainFile(logPath: string): Promise<number | null> {
  const number = numberOfPlain(logPath) ?? adopt(logPath)
  rmSync(brokenPath(logPath), { force: true })
  if (number !== null) await replaceLink(logPath, logPath, number)
  return number
}

/** The number of the file that is written; null when it has none, or there is none. */
function newestNumber(logPath: string): number | null {
  const linked = linkedNumber(logPath, logPath)
  return linked ?? numberOfPlain(logPath)
}

function numberOfPlain(logPath: string): number | null {
  return generationsOf(logPath).at(-1)?.number ?? null
}

/**
 * Give the plain file that is written a second name among the kept ones. What it replaced may be lost: it
 * gets a number that does not follow on the last.
 */
function adopt(logPath: string): number | null {
  const last = numbersOf(logPath).at(-1)
  const path = generationPath(logPath, last === undefined ? 1 : last + 2)
  const isBroken = last !== undefined || isThere(brokenPath(logPath))
  if (isBroken) writeFileSync(brokenPath(path), 'first', { mode: 0o600 })
  const done = orNull(() => {
    linkSync(logPath, path)
    return true
  })
  return done === null ? null : (last ?? -1) + 2
}

function prune(logPath: string, maxFiles: number): void {
  const generations = generationsOf(logPath)
  const doomed = generations.slice(0, -maxFiles)
  const oldest = generations.at(-maxFiles)
  if (doomed.length > 0 && oldest !== undefined && !isThere(brokenPath(oldest.path))) {
    const before = doomed.at(-1)
    const follows = oldest.number !== null && before?.number === oldest.number - 1
    const streams = before === undefined ? [] : follows ? openStreams(before.path) : ['first']
    if (streams.length > 0)
      writeFileSync(brokenPath(oldest.path), streams.join(' '), { mode: 0o600 })
  }
  for (const { number, path } of doomed) if (number !== null) removeGeneration(path)
}

function removeGeneration(path: string): void {
  rmSync(path, { force: true })
  rmSync(brokenPath(path), { force: true })
}

/** More than what a monitor writes at once, for both streams. */
const END_BYTES = 64 * 1024

/** Streams whose last line goes on in the next file. */
function openStreams(path: string): readonly string[] {
  const buffer = orNull(() => endOf(path))
  if (buffer === null) return []
  const isOpen = new Map<string, boolean>()
  let start = 0
  for (let end = buffer.indexOf('\n'); end >= 0; end = buffer.indexOf('\n', start)) {
    const line = parseLine(buffer.subarray(start, end))
    if (line !== null) isOpen.set(line.stream, line.partial)
    start = end + 1
  }
  return [...isOpen].flatMap(([stream, partial]) => (partial ? [stream] : []))
}

function endOf(path: string): Buffer {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const buffer = Buffer.alloc(Math.min(size, END_BYTES))
    readSync(fd, buffer, 0, buffer.length, size - buffer.length)
    return buffer
  } finally {
    closeSync(fd)
  }
}

async function replaceLink(at: string, logPath: string, number: number): Promise<void> {
  if (linkTo(logPath, at, number)) return
  const fresh = `${at}.link`
  rmSync(fresh, { force: true })
  await symlink(targetOf(logPath, number), fresh)
  renameSync(fresh, at)
}

/** False: there is something of this name. */
function linkTo(logPath: string, at: string, number: number): boolean {
  try {
    symlinkSync(targetOf(logPath, number), at)
    return true
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    return false
  }
}

const targetOf = (logPath: string, number: number): string =>
  join('kept', `${basename(logPath)}.${number}`)
