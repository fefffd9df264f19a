import type { AgentStatus } from '../../agent/wire.ts'
import type { PakEvent } from '../../model/events.ts'
import { reasonText } from '../../plan/reason.ts'
import type { Invocation } from '../grammar.ts'
import { durationText } from './quantity.ts'

/** Anything as JSON, for what is data through and through. */
export async function printJson(data: unknown, { terminal }: Invocation): Promise<undefined> {
  await terminal.print(`${JSON.stringify(data, null, 2)}\n`)
}

/** Text that is already what is wanted: a schema, a completion script. */
export async function printText(text: string, { terminal }: Invocation): Promise<undefined> {
  await terminal.print(text.endsWith('\n') ? text : `${text}\n`)
}

/** `events`: one a line. */
export async function printEvents(
  events: AsyncIterable<PakEvent>,
  { flags, terminal }: Invocation,
): Promise<undefined> {
  const json = flags.text('format') === 'json'
  for await (const event of events)
    await terminal.print(`${json ? JSON.stringify(event) : eventText(event)}\n`)
}

export function eventText({ time, project, type, on, because, plan }: PakEvent): string {
  const said = because === null ? planText(plan) : reasonText(because)
  return `${time} ${project} ${type} ${on}${said === '' ? '' : ` (${said})`}`
}

function planText(plan: PakEvent['plan']): string {
  if (plan === undefined) return ''
  if (!('ok' in plan)) return `${plan.by}: ${plan.cause}, ${plan.steps} steps`
  return plan.ok ? `${plan.done} done` : `${plan.failed.length} failed, ${plan.skipped} skipped`
}

/** `agent status`; exit status 1 when none runs. */
export async function printAgent(
  status: AgentStatus | null,
  { flags, terminal }: Invocation,
): Promise<number> {
  if (flags.text('format') === 'json') await terminal.print(`${JSON.stringify(status, null, 2)}\n`)
  else if (status === null) await terminal.print('no agent runs\n')
  else await terminal.print(agentText(status))
  return status === null ? 1 : 0
}

function agentText({ pid, version, startedAt, projects, socket }: AgentStatus): string {
  const age = durationText(Date.now() - Date.parse(startedAt))
  return [
    `pak agent ${version}, pid ${pid}, up ${age}`,
    `socket   ${socket}`,
    `projects ${projects.length === 0 ? 'none' : projects.join(', ')}`,
    '',
  ].join('\n')
}

/** `agent stop`. */
export async function printStopped(stopped: boolean, { terminal }: Invocation): Promise<undefined> {
  terminal.warn(stopped ? 'the agent has stopped; containers run on' : 'no agent runs')
}
