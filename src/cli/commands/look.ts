import type { NetworkRow, VolumeRow } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { PakEvent } from '../../model/events.ts'
import type { ObservedState } from '../../model/observed.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent, peekAgent } from '../session.ts'
import { timeOf } from '../values.ts'
import { eventFilter, eventsFrom } from './past.ts'

/** `inspect`: the project as observed, or only some of its services. */
export async function inspect({
  globals,
  interrupts,
  words,
}: Invocation): Promise<ObservedState | readonly unknown[]> {
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const observed = await agent.inspect(project)
  if (words.length === 0) return observed
  const found = observed.containers.filter(
    ({ service, name }) => words.includes(service) || words.includes(name),
  )
  const missing = words.find(
    (word) => !found.some(({ service, name }) => service === word || name === word),
  )
  if (missing !== undefined)
    throw new PakError('not_found', `inspect \`${missing}\`: no such service in ${project}`)
  return found
}

/** `events`: what happened, and with `--follow` what happens. */
export async function* events({
  flags,
  globals,
  interrupts,
}: Invocation): AsyncGenerator<PakEvent> {
  const now = Date.now()
  const since = flags.text('since')
  const until = flags.text('until')
  const untilMs = until === null ? null : timeOf(until, 'until', now)
  const filters = flags.list('filter').map(eventFilter)
  const query = {
    project: flags.on('allProjects') ? null : await projectName(globals),
    since: since === null ? null : new Date(timeOf(since, 'since', now)).toISOString(),
    // Without a bound in the past or the end of time it is a live view, as Compose's is.
    follow: flags.on('follow') || (since === null && until === null),
  }
  for await (const event of eventsFrom({ globals, interrupts }, query)) {
    if (untilMs !== null && Date.parse(event.time) > untilMs) return
    if (filters.every((fits) => fits(event))) yield event
  }
}

/** `volume ls`: of every project of this root. */
export async function volumes({ globals, interrupts }: Invocation): Promise<readonly VolumeRow[]> {
  const agent = await peekAgent(globals, interrupts.signal)
  return agent === null ? [] : agent.volumes()
}

/** `network ls`: of every project of this root. */
export async function networks({
  globals,
  interrupts,
}: Invocation): Promise<readonly NetworkRow[]> {
  const agent = await peekAgent(globals, interrupts.signal)
  return agent === null ? [] : agent.networks()
}
