import * as fs from 'node:fs'
import { open } from 'node:fs/promises'

const MOST_BYTES = 1024 * 1024
const PAGE_BYTES = 4096
const buffer = Buffer.allocUnsafeSlow(MOST_BYTES)
/**
 * What the kernel says of a cgroup or process that went between open and read, and of a counter that it
 * has a file for and no data: pressure where PSI is switched off.
 */
const ABSENT = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR', 'EINVAL', 'EOPNOTSUPP'])

/** See `Kernel.readNow`. */
export function readNow(path: string): string | null {
  const size = fill(path)
  return size === null ? null : buffer.toString('utf8', 0, size)
}

/** See `Kernel.saysStill`. */
export function saysStill(path: string, before: Uint8Array | null): boolean {
  const size = fill(path)
  if (size === null || before === null) return size === before
  return size === before.length && buffer.compare(before, 0, size, 0, size) === 0
}

/** Bytes of the file, now in the buffer; `null` when there is none. */
function fill(path: string): number | null {
  try {
    const fd = fs.openSync(path, 'r')
    try {
      let size = fs.readSync(fd, buffer, 0, MOST_BYTES, null)
      // A list of things comes a page at a time, and a long line waits for the next: only what is much shorter
      // than a page was all there is.
      for (let more = size; more > PAGE_BYTES / 8 && size < MOST_BYTES; size += more)
        more = fs.readSync(fd, buffer, size, MOST_BYTES - size, null)
      return size
    } finally {
      fs.closeSync(fd)
    }
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
