import type { FileHandle } from 'node:fs/promises'
import { parseLine } from './cri.ts'

const BLOCK_BYTES = 64 * 1024
/** A line's header never reaches further than this into the line. */
const HEADER_BYTES = 128
const NEWLINE = 0x0a

export interface TailStart {
  /** Where reading must start to get the last `count` whole lines, or 0. */
  readonly offset: number
  /** How many whole lines lie between there and the end; fewer than asked: the file has no more. */
  readonly lines: number
}

/** Finds the last lines of a CRI log from its end, in blocks: a file of any size costs the same memory. */
export async function tailStart(file: FileHandle, count: number): Promise<TailStart> {
  const { size } = await file.stat()
  let lines = 0
  let nextStart = size
  let carry: Buffer = Buffer.alloc(0)
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - BLOCK_BYTES)
    const block = Buffer.alloc(end - start)
    await file.read(block, 0, block.length, start)
    const text = Buffer.concat([block, carry])
    for (const lineStart of lineStarts(block, start)) {
      const at = lineStart - start
      if (endsLine(text.subarray(at, at + HEADER_BYTES))) {
        if (lines === count) return { offset: nextStart, lines }
        lines += 1
      }
      nextStart = lineStart
    }
    carry = text.subarray(0, HEADER_BYTES)
    end = start
  }
  return { offset: 0, lines }
}

/** Offsets in the file of the lines that start in the block, the last first. */
function* lineStarts(block: Buffer, blockOffset: number): Generator<number> {
  let at = block.length - 1
  for (;;) {
    // The newline at the very end of the file starts no line; one at a block's end was seen before.
    at = at <= 0 ? -1 : block.lastIndexOf(NEWLINE, at - 1)
    if (at < 0) break
    yield blockOffset + at + 1
  }
  if (blockOffset === 0) yield 0
}

function endsLine(head: Buffer): boolean {
  const newline = head.indexOf(NEWLINE)
  const line = parseLine(newline < 0 ? head : head.subarray(0, newline))
  return line !== null && !line.partial
}
