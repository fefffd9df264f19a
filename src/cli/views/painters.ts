import type { Op, Plan } from '../../model/plan.ts'
import type { Terminal } from '../terminal.ts'
import { outline } from './outline.ts'
import type { Painter } from './progress.ts'

/** Errors only. */
export const quietPainter: Painter = {
  note() {},
  message() {},
  warning() {},
  plan() {},
  event() {},
  async close() {},
}

/** A note is worth a line only when what it names takes time. */
const NOTE_AFTER_MS = 80

/** Lines for logs and pipes: what will be done and why, what went wrong, the end. */
export function plainPainter(terminal: Terminal): Painter {
  let started: number | null = null
  const { dim, yellow } = terminal.errorColors
  let planned: Plan | null = null
  let pending: ReturnType<typeof setTimeout> | null = null
  const settle = () => {
    if (pending !== null) clearTimeout(pending)
    pending = null
  }
  const warning = (text: string) => terminal.warn(`${yellow('warning:')} ${text}`)
  return {
    note(text) {
      started ??= Date.now()
      settle()
      pending = setTimeout(() => terminal.warn(dim(text)), NOTE_AFTER_MS)
    },
    message(text) {
      settle()
      terminal.warn(text)
    },
    warning,
    plan(plan) {
      started ??= Date.now()
      settle()
      planned = plan
      plan.warnings.forEach(warning)
      for (const { title, because } of outline(plan)) terminal.warn(`${title}: ${because}`)
    },
    event(event) {
      settle()
      if (event.type === 'skipped')
        terminal.warn(`${yellow('skipped')} ${event.id}: ${event.because}`)
    },
    async close(result) {
      settle()
      if (result === null || planned === null) return
      terminal.warn(endText(planned, result.ok, Date.now() - (started ?? Date.now())))
    },
  }
}

/** The last line: what came of it. */
export function endText(plan: Plan, ok: boolean, milliseconds: number): string {
  if (plan.steps.length === 0) return `${plan.project}: nothing to do`
  const parts = summaryParts(plan)
  const what = parts.length === 0 ? `${plan.steps.length} steps` : parts.join(', ')
  const time = `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0)} s`
  return ok ? `${plan.project}: ${what} in ${time}` : `${plan.project}: not all was done, ${time}`
}

const WORDS = [
  ['create', 'created'],
  ['recreate', 'recreated'],
  ['update', 'updated'],
  ['start', 'started'],
  ['stop', 'stopped'],
  ['remove', 'removed'],
] as const

function summaryParts({ summary, steps }: Plan): readonly string[] {
  const all = (op: Op) => steps.every((step) => step.op === op)
  // A signal need not end anything.
  if (all('container.kill')) return [`${steps.length} signalled`]
  if (all('container.pause')) return [`${steps.length} paused`]
  if (all('container.unpause')) return [`${steps.length} go on`]
  return WORDS.flatMap(([key, word]) => (summary[key] > 0 ? [`${summary[key]} ${word}`] : []))
}
