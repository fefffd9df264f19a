import { FILE_LOGGING, type Logging } from '../model/desired.ts'
import { type Context, complain, Refusal, take } from './context.ts'
import { shown } from './problem.ts'
import { parseInteger, parseSize } from './quantities.ts'
import { child, type Field, textOf } from './tree.ts'

/** Less than this is a few lines: the monitor writes up to 8 KiB at once. */
const LEAST_BYTES = 64 * 1024

/** Compose's `logging`. Its drivers `json-file` and `local` mean a file on this machine, as `file` does. */
export function normalizeLogging(context: Context, field: Field | null): Logging {
  const options = child(field, 'options')
  if (textOf(child(field, 'driver')) === 'none') {
    if (options !== null && options.node.kind === 'map' && options.node.entries.size > 0)
      complain(context, options, new Refusal('where no log is kept there are no options for it'))
    return { driver: 'none' }
  }
  const { maxBytes, maxFiles } = FILE_LOGGING
  return {
    driver: 'file',
    maxBytes: take(context, child(options, 'max-size'), { parse: parseBytes, fallback: maxBytes }),
    maxFiles: take(context, child(options, 'max-file'), { parse: parseCount, fallback: maxFiles }),
  }
}

const parseCount = parseInteger({ what: 'number of log files', least: 1, most: 1000 })

function parseBytes(text: string): number {
  const bytes = parseSize(text)
  if (bytes < LEAST_BYTES) throw new Refusal(`a log file has at least 64k, got ${shown(text)}`)
  return bytes
}
