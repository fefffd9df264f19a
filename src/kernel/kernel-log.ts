import { closeSync, constants, openSync, readSync } from 'node:fs'

/** Longer than any record of the kernel's (CONSOLE_EXT_LOG_MAX). */
const RECORD_BYTES = 8192
/** More than the largest log that is usual (1 MiB) holds. */
const MOST_RECORDS = 50_000

export interface KernelMessage {
  /** Microseconds since the machine started. */
  readonly usec: number
  readonly text: string
}

/**
 * What the kernel's log holds now and `wanted` likes, oldest first; empty where it may not be read. One
 * read gives one record (Documentation/ABI/testing/dev-kmsg); nothing is waited for.
 */
export function readKernelLog(wanted: (text: string) => boolean): readonly KernelMessage[] {
  const fd = open()
  if (fd === null) return []
  try {
    const messages: KernelMessage[] = []
    const buffer = Buffer.alloc(RECORD_BYTES)
    for (let count = 0; count < MOST_RECORDS; count += 1) {
      const record = readRecord(fd, buffer)
      if (record === null) break
      const [, usec, text] = /^\d+,\d+,(\d+),[^;]*;(.*)/.exec(record) ?? []
      if (text !== undefined && wanted(text)) messages.push({ usec: Number(usec), text })
    }
    return messages
  } finally {
    closeSync(fd)
  }
}

function open(): number | null {
  try {
    return openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK)
  } catch {
    // No such device in this container, or no permission: both are no reason to fail.
    return null
  }
}

/** `null`: the end. Empty: the record was overwritten meanwhile, the next read goes on behind it. */
function readRecord(fd: number, buffer: Buffer): string | null {
  try {
    const length = readSync(fd, buffer, 0, buffer.length, null)
    return length === 0 ? null : buffer.toString('utf8', 0, length)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPIPE' ? '' : null
  }
}
