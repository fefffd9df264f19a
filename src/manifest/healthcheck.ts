import type { Healthcheck, RestartPolicy } from '../model/desired.ts'
import { attempt, type Context, Refusal, take, takeBoolean } from './context.ts'
import { parseDuration, parseInteger } from './quantities.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** Compose's `healthcheck` with its defaults; `null` when there is none or it is switched off. */
export function normalizeHealthcheck(context: Context, field: Field | null): Healthcheck | null {
  if (field === null) return null
  const ms = (name: string, fallback: number, parse = parsePositive) =>
    take(context, child(field, name), { parse, fallback })
  const times = {
    intervalMs: ms('interval', 30_000),
    timeoutMs: ms('timeout', 30_000),
    startPeriodMs: ms('start_period', 0, parseDuration),
    startIntervalMs: ms('start_interval', 5_000),
    retries: take(context, child(field, 'retries'), { parse: parseRetries, fallback: 3 }),
  }
  const test = attempt(context, field, { make: () => normalizeTest(field), fallback: null })
  return test === null || takeBoolean(child(field, 'disable'), false) ? null : { test, ...times }
}

const parseRetries = parseInteger({ what: 'retries', least: 1, most: 1_000_000 })

function parsePositive(text: string): number {
  const ms = parseDuration(text)
  if (ms < 1) throw new Refusal('this time must be longer than nothing')
  return ms
}

function normalizeTest(field: Field): Healthcheck['test'] | null {
  const test = child(field, 'test')
  const text = textOf(test)
  if (text !== null) return { kind: 'shell', command: [text] }
  const [kind, ...words] = itemsOf(test).map((item) => textOf(item) ?? '')
  if (kind === undefined) {
    if (takeBoolean(child(field, 'disable'), false)) return null
    throw new Refusal('a healthcheck needs a `test`')
  }
  if (kind === 'NONE' && words.length === 0) return null
  if (kind === 'CMD' && words.length > 0) return { kind: 'exec', command: words }
  if (kind === 'CMD-SHELL' && words.length === 1) return { kind: 'shell', command: words }
  throw new Refusal('`test` must be a text, [CMD, program, ...], [CMD-SHELL, text] or [NONE]')
}

/** `no`, `always`, `on-failure[:n]`, `unless-stopped`. */
export function normalizeRestart(context: Context, field: Field | null): RestartPolicy {
  return take(context, field, { parse: parseRestart, fallback: NO_RESTART })
}

const NO_RESTART: RestartPolicy = { name: 'no', maxRetries: null }

function parseRestart(text: string): RestartPolicy {
  const [name, retries] = text.split(':')
  if (name === 'always' || name === 'unless-stopped') return { name, maxRetries: null }
  if (name !== 'on-failure') return NO_RESTART
  // Docker's 0 means without end, as no number does.
  const most = Number(retries ?? 0)
  return { name, maxRetries: most === 0 ? null : most }
}
