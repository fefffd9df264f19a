import type { ResultLine } from '../../agent/wire.ts'
import type { ApplyEvent } from '../../model/events.ts'
import type { Plan } from '../../model/plan.ts'
import type { ProgressKind } from '../globals.ts'
import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { plainPainter, quietPainter } from './painters.ts'

/** How one kind of terminal shows that something goes on; always on stderr. */
export interface Painter {
  /** What pak is busy with; may be replaced by anything that comes next. */
  note(text: string): void
  /** A sentence to be read. */
  message(text: string): void
  warning(text: string): void
  plan(plan: Plan): void
  event(event: ApplyEvent): void
  /** Everything is painted and the cursor is below it. */
  close(result: ResultLine | null): Promise<void>
}

/** Shows an operation to its end; the exit status is 1 when a step of it did not succeed. */
export async function printProgress(
  items: AsyncIterable<ProgressItem>,
  invocation: Invocation,
): Promise<number> {
  const { terminal } = invocation
  const kind = painterKind(invocation)
  let painter = await newPainter(kind, invocation)
  let exitStatus = 0
  let printLine: ((item: ProgressItem & { type: 'log' }) => Promise<void>) | null = null
  try {
    for await (const item of items) {
      if (kind === 'json' && item.type !== 'log' && item.type !== 'question')
        terminal.warn(JSON.stringify(item))
      if (item.type === 'note') painter.note(item.text)
      else if (item.type === 'message') painter.message(item.text)
      else if (item.type === 'plan') painter.plan(item.plan)
      else if (item.type === 'warning') painter.warning(item.text)
      else if (item.type === 'warned') painter.warning(item.error.message)
      else if (item.type === 'question') {
        await painter.close(null)
        const { ask } = await import('./ask.ts')
        item.answer(await ask(item.text, invocation))
      } else if (item.type === 'log') {
        if (printLine === null) {
          await painter.close(null)
          printLine = await foregroundLines(invocation)
        }
        await printLine(item)
      } else if (item.type === 'result') {
        await painter.close(item)
        painter = await newPainter(kind, invocation)
        exitStatus = printFailures(item, invocation, kind)
      } else painter.event(item)
    }
  } finally {
    await painter.close(null)
  }
  return exitStatus
}

function printFailures(
  result: ResultLine,
  { terminal }: Invocation,
  kind: Exclude<ProgressKind, 'auto'>,
): number {
  const { red, dim } = terminal.errorColors
  for (const { error } of kind === 'json' ? [] : result.failed) {
    terminal.warn(`${red('error:')} ${error.message}`)
    if (error.hint !== null) terminal.warn(`${dim('hint:')} ${error.hint}`)
  }
  if (result.cancelled) return 130
  return result.ok ? 0 : 1
}

async function foregroundLines(invocation: Invocation) {
  const { linePrinter } = await import('./logs.ts')
  const print = linePrinter(invocation, [])
  return (item: ProgressItem & { type: 'log' }) => print(item.entry)
}

const MIN_COLUMNS = 20

/** `auto` is a picture on a terminal and lines everywhere else. */
function painterKind({ globals, terminal, flags }: Invocation): Exclude<ProgressKind, 'auto'> {
  if (flags.on('quiet')) return 'quiet'
  if (globals.progress !== 'auto') return globals.progress
  // A terminal without a width (a serial line, some CI) cannot hold a list that moves.
  const wide = (terminal.stderr.columns ?? 0) >= MIN_COLUMNS
  return terminal.stderr.isTTY === true && wide && !terminal.dumb ? 'tty' : 'plain'
}

async function newPainter(
  kind: Exclude<ProgressKind, 'auto'>,
  { terminal }: Invocation,
): Promise<Painter> {
  // As JSON the items themselves are printed as they come: there is nothing to paint.
  if (kind === 'quiet' || kind === 'json') return quietPainter
  if (kind === 'plain') return plainPainter(terminal)
  const { ttyPainter } = await import('./tty.ts')
  return ttyPainter(terminal)
}
