import type { UpdatePolicy } from '../model/desired.ts'
import { type Context, complain, Refusal, take } from './context.ts'
import { parseDuration, parseInteger } from './quantities.ts'
import { child, type Field, textOf } from './tree.ts'

/** `update_config` of a container or of its `deploy:`, with Compose's defaults; `null`: none. */
export function normalizeUpdate(context: Context, service: Field): UpdatePolicy | null {
  const own = child(service, 'update_config')
  const deployed = child(child(service, 'deploy'), 'update_config')
  if (own !== null && deployed !== null)
    complain(context, deployed, new Refusal('it is written twice: `update_config` is there, too'))
  const field = own ?? deployed
  if (field === null) return null
  const ms = (key: string, fallback: number) =>
    take(context, child(field, key), { parse: parseDuration, fallback })
  const action = textOf(child(field, 'failure_action'))
  return {
    // The schema lets two words through.
    order: textOf(child(field, 'order')) === 'start-first' ? 'start-first' : 'stop-first',
    parallelism: take(context, child(field, 'parallelism'), {
      parse: parseInteger({ what: 'parallelism', least: 0, most: 10_000 }),
      fallback: 1,
    }),
    delayMs: ms('delay', 0),
    monitorMs: ms('monitor', 5_000),
    // And three here.
    onFailure: action === 'rollback' || action === 'continue' ? action : 'pause',
    maxFailureRatio: take(context, child(field, 'max_failure_ratio'), {
      parse: parseRatio,
      fallback: 0,
    }),
  }
}

function parseRatio(text: string): number {
  const ratio = /^(?:[0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : Number.NaN
  if (!(ratio >= 0 && ratio <= 1)) throw new Refusal('expected a number from 0 to 1')
  return ratio
}
