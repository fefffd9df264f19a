import * as fs from 'node:fs'

const { O_WRONLY, O_NONBLOCK, O_NOFOLLOW } = fs.constants
/** ENXIO: nobody reads it (fifo(7)). ELOOP: a link. */
const NOBODY = new Set(['ENOENT', 'ENXIO', 'ELOOP', 'EPIPE'])

/** See `Kernel.releasePipe`. */
export function releasePipe(path: string): boolean {
  try {
    const fd = fs.openSync(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW)
    try {
      if (!fs.fstatSync(fd).isFIFO()) return false
      fs.unlinkSync(path)
      fs.writeSync(fd, '\0')
      return true
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && NOBODY.has(String(error.code))) return false
    throw error
  }
}
