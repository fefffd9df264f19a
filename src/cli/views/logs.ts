import { stripVTControlCharacters } from 'node:util'
import type { LogEntry } from '../../telemetry/logs.ts'
import type { LogLines } from '../commands/logs.ts'
import type { Invocation } from '../grammar.ts'
import type { Colors } from '../terminal.ts'

/** `logs`: every line behind the name of its container. */
export async function printLogs(
  { entries, labels, silent }: LogLines,
  invocation: Invocation,
): Promise<undefined> {
  for (const label of silent)
    invocation.terminal.warn(`${label}: no log is kept (\`logging.driver: none\`)`)
  const print = linePrinter(invocation, labels)
  for await (const entry of entries) await print(entry)
}

const PALETTE = ['cyan', 'yellow', 'green', 'magenta', 'blue'] as const
/** Names longer than this push only their own lines to the right. */
const WIDTH_LIMIT = 40

/**
 * Prints entries to stdout. In a pipe the bytes are the container's own; on a terminal, sequences that do
 * more than colour are taken out, so that a log cannot rewrite the screen.
 */
export function linePrinter(
  { flags, terminal }: Invocation,
  labels: readonly string[],
): (entry: LogEntry) => Promise<void> {
  const prefix = flags.off('logPrefix')
    ? () => ''
    : prefixer(flags.off('color') ? null : terminal.colors, labels)
  const onTerminal = terminal.stdout.isTTY === true
  let begun: string | null = null
  return async (entry) => {
    const key = `${entry.source.container} ${entry.stream}`
    const goesOn = begun === key
    // Another container's line must not be glued to one that has not ended.
    const close = begun !== null && !goesOn ? '\n' : ''
    const time = flags.on('timestamps') ? `${entry.time} ` : ''
    const head = goesOn ? '' : `${prefix(entry.source.label)}${time}`
    const text = onTerminal ? Buffer.from(harmless(entry.text.toString('utf8'))) : entry.text
    begun = entry.whole ? null : key
    const end = entry.whole ? '\n' : ''
    await terminal.print(Buffer.concat([Buffer.from(close + head), text, Buffer.from(end)]))
  }
}

function prefixer(colors: Colors | null, labels: readonly string[]): (label: string) => string {
  let width = Math.min(WIDTH_LIMIT, Math.max(0, ...labels.map((label) => label.length)))
  const known = new Map<string, string>()
  return (label) => {
    const found = known.get(label)
    if (found !== undefined && label.length <= width) return found
    width = Math.min(WIDTH_LIMIT, Math.max(width, label.length))
    const text = `${label.padEnd(width)} | `
    const color = PALETTE[known.size % PALETTE.length] ?? 'cyan'
    const painted = colors === null ? text : colors[color](text)
    known.set(label, painted)
    return painted
  }
}

const ESC = String.fromCharCode(27)
const COLOUR = new RegExp(`(${ESC}\\[[\\d;]*m)`)

/** Colours and tabs stay; every other control sequence goes. */
export function harmless(text: string): string {
  return text
    .split(COLOUR)
    .map((part, at) =>
      // split() puts what the group matched at the odd places.
      at % 2 === 1 ? part : stripVTControlCharacters(part).replace(/[^\P{Cc}\t]/gu, ''),
    )
    .join('')
}
