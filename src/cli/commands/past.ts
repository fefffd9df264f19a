import { type Explanation, explain, isOf } from '../../agent/explain.ts'
import { HistoryFiles } from '../../agent/history.ts'
import type { EventsQuery } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { PakEvent, PlanBegan, PlanEnded } from '../../model/events.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { peekAgent } from '../session.ts'
import { timeOf } from '../values.ts'

const PLANS_SHOWN = 20

type Where = Pick<Invocation, 'globals' | 'interrupts'>

/** From the agent, or from its files where none runs and none is needed. */
export async function* eventsFrom(
  { globals, interrupts }: Where,
  query: EventsQuery,
): AsyncGenerator<PakEvent> {
  const agent = await peekAgent(globals, interrupts.signal)
  if (agent !== null) return yield* agent.events(query, interrupts.signal)
  // A live view of nothing ends at once; what has been can be told after the last `down`, too.
  if (query.follow && query.since === null) return
  const from = query.since === null ? Number.NEGATIVE_INFINITY : Date.parse(query.since)
  for (const event of await new HistoryFiles(globals.root).read(query.project))
    if (Date.parse(event.time) >= from) yield event
}

const FILTERS: Readonly<Record<string, (event: PakEvent, wanted: string) => boolean>> = {
  service: ({ on, plan }, wanted) => isOf(on, wanted) || touches(plan, wanted),
  type: ({ type }, wanted) => type === wanted || type.startsWith(`${wanted}.`),
  reason: ({ because }, wanted) => because?.kind === wanted,
}

export function eventFilter(text: string): (event: PakEvent) => boolean {
  const at = text.indexOf('=')
  const key = text.slice(0, Math.max(0, at))
  const fits = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined
  if (fits === undefined)
    throw new PakError('usage', `option \`--filter\`: expected key=value, got \`${text}\``, {
      hint: `keys are ${Object.keys(FILTERS).join(', ')}`,
    })
  return (event) => fits(event, text.slice(at + 1))
}

/** One object of `pak history --format json`. */
export interface HistoryRow extends Omit<PlanBegan, 'id'> {
  readonly time: string
  /** `interrupted`: the agent was killed, or the plan is still under way. */
  readonly result: 'ok' | 'failed' | 'interrupted'
  readonly durationMs: number | null
  readonly done: number
  readonly skipped: number
  readonly failed: PlanEnded['failed']
}

/** `history`: the newest last, as in a log. */
export async function history({
  flags,
  globals,
  interrupts,
  words: [service],
}: Invocation): Promise<readonly HistoryRow[]> {
  const now = Date.now()
  const bound = (name: 'since' | 'until', none: number) => {
    const text = flags.text(name)
    return text === null ? none : timeOf(text, name, now)
  }
  const [from, to] = [bound('since', 0), bound('until', Number.POSITIVE_INFINITY)]
  const query = { project: await projectName(globals), since: new Date(0).toISOString() }
  const events: PakEvent[] = []
  for await (const event of eventsFrom({ globals, interrupts }, { ...query, follow: false }))
    events.push(event)
  const rows = plansOf(events, service ?? null).filter(({ time }) => {
    const at = Date.parse(time)
    return at >= from && at <= to
  })
  const tail = flags.text('tail') === 'all' ? null : (flags.count('tail') ?? PLANS_SHOWN)
  return tail === null ? rows : rows.slice(Math.max(0, rows.length - tail))
}

/** Plans, each with its end where it has one. Pure. */
export function plansOf(
  events: readonly PakEvent[],
  service: string | null,
): readonly HistoryRow[] {
  const ends = new Map(
    events.flatMap(({ plan }) => (plan !== undefined && 'ok' in plan ? [[plan.id, plan]] : [])),
  )
  return events.flatMap(({ time, plan }) => {
    if (plan === undefined || 'ok' in plan) return []
    if (service !== null && !touches(plan, service)) return []
    const { id, ...began } = plan
    const end = ends.get(id)
    const result = end === undefined ? 'interrupted' : end.ok ? 'ok' : 'failed'
    const { durationMs = null, done = 0, skipped = 0, failed = [] } = end ?? {}
    return [{ time, ...began, result, durationMs, done, skipped, failed } as const]
  })
}

const touches = (plan: PakEvent['plan'], service: string): boolean =>
  plan !== undefined &&
  'changes' in plan &&
  plan.changes.some((step) => isOf(step.slice(step.indexOf(':') + 1), service))

/** `explain`: also of what is gone, as long as something is known of it. */
export async function explainService({
  globals,
  interrupts,
  words: [service = ''],
}: Invocation): Promise<Explanation> {
  const project = await projectName(globals)
  const agent = await peekAgent(globals, interrupts.signal)
  const explanation =
    agent === null
      ? explain({
          project,
          service,
          observed: null,
          kept: null,
          events: await new HistoryFiles(globals.root).read(project),
          healthOf: () => null,
        })
      : await agent.explain(project, service)
  const { containers, events, wanted } = explanation
  if (containers.length > 0 || events.length > 0 || wanted) return explanation
  throw new PakError(
    'not_found',
    `explain \`${service}\`: nothing is known of such a service in ${project}`,
    { hint: 'it has never been up, or that was long ago' },
  )
}
