import type { Healthcheck, HealthTest, RestartPolicy } from '../model/desired.ts'
import { attempt, type Context, Refusal, take, takeBoolean } from './context.ts'
import { normalizeTest } from './health-test.ts'
import { parseDuration, parseInteger } from './quantities.ts'
import { child, type Field, textOf } from './tree.ts'

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
    onUnhealthy: ACTIONS.find((known) => known === textOf(child(field, 'on_unhealthy'))) ?? 'none',
  }
  const make = () => normalizeTest(context, field)
  const test = attempt<HealthTest | null>(context, field, { make, fallback: null })
  return test === null || takeBoolean(child(field, 'disable'), false) ? null : { test, ...times }
}

const ACTIONS: readonly Healthcheck['onUnhealthy'][] = ['none', 'restart', 'stop']

const parseRetries = parseInteger({ what: 'retries', least: 1, most: 1_000_000 })

function parsePositive(text: string): number {
  const ms = parseDuration(text)
  if (ms < 1) throw new Refusal('this time must be longer than nothing')
  return ms
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
