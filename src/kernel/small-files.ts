import * as fs from 'node:fs'
import { open } from 'node:fs/promises'
import type { KeptFile } from './kernel.ts'

const MOST_BYTES = 1024 * 1024
const PAGE_BYTES = 4096
/** Far below the number of files that a process may have open: more are opened each time. */
const MOST_KEPT = 2048
const buffer = Buffer.allocUnsafeSlow(MOST_BYTES)
/**
 * What the kernel says of a cgroup or process that went between open and read, and of a counter that it
 * has a file for and no data: pressure where PSI is switched off.
 */
const ABSENT = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR', 'EINVAL', 'EOPNOTSUPP'])

let openKept = 0

/** See `Kernel.readNow`. */
export function readNow(path: string): string | null {
  const size = fill(path)
  return size === null ? null : buffer.toString('utf8', 0, size)
}

/** See `Kernel.keepFile`. */
export function keepFile(path: string): KeptFile {
  const size = fill(path)
  const text = size === null ? null : Buffer.from(buffer.subarray(0, size))
  // Opened after it was read: what is another file by then says so when it is asked.
  let fd = openKept < MOST_KEPT ? openNow(path) : null
  if (fd !== null) openKept += 1
  return {
    saysStill() {
      const now = fd === null ? fill(path) : refill(fd)
      if (now === null || text === null) return now === null && text === null
      return now === text.length && buffer.compare(text, 0, now, 0, now) === 0
    },
    close() {
      if (fd === null) return
      fs.closeSync(fd)
      fd = null
      openKept -= 1
    },
  }
}

/** Bytes of the file, now in the buffer; `null` when there is none. */
function fill(path: string): number | null {
  const fd = openNow(path)
  if (fd === null) return null
  try {
    return refill(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Bytes of the open file, now in the buffer, from its begin; `null` when what it told of is gone. */
function refill(fd: number): number | null {
  try {
    let size = fs.readSync(fd, buffer, 0, MOST_BYTES, 0)
    // A list of things comes a page at a time, and a long line waits for the next: only what is much shorter
    // than a page was all there is.
    for (let more = size; more > PAGE_BYTES / 8 && size < MOST_BYTES; size += more)
      more = fs.readSync(fd, buffer, size, MOST_BYTES - size, size)
    return size
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

function openNow(path: string): number | null {
  try {
    return fs.openSync(path, 'r')
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

/** See `Kernel.listNow`. */
export function listNow(path: string): readonly string[] {
  try {
    return fs.readdirSync(path)
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

/** See `Kernel.readHead`. */
export async function readHead(path: string, mostBytes: number): Promise<string | null> {
  try {
    const file = await open(path)
    try {
      const { buffer: own, bytesRead } = await file.read(Buffer.alloc(mostBytes), 0, mostBytes, 0)
      return own.toString('utf8', 0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ABSENT.has(String(error.code))
