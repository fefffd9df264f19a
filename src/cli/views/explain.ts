import { constants } from 'node:os'
import type { Explanation, Story } from '../../agent/explain.ts'
import type { PakEvent } from '../../model/events.ts'
import { printableOutput, withoutControl } from '../../model/text.ts'
import { reasonText } from '../../plan/reason.ts'
import type { Invocation } from '../grammar.ts'
import { durationText } from './quantity.ts'

/** `explain`: text for people, or one JSON object. */
export async function printExplanation(
  explanation: Explanation,
  { flags, terminal }: Invocation,
): Promise<undefined> {
  const json = flags.text('format') === 'json'
  await terminal.print(
    json ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation, Date.now()),
  )
}

/** Most important first: how each container is and why; then what is behind that. Pure. */
export function explanationText(explanation: Explanation, now: number): string {
  const { containers, failure, waitsFor } = explanation
  const unsettled = containers.length === 0 || containers.some((story) => !isRunning(story))
  const blocks = containers.map((story) => storyText(story, now))
  if (containers.length === 0) blocks.push(absenceText(explanation))
  const why: string[] = []
  if (failure !== null) why.push(`It could not be started at ${failure.time}: ${failure.message}`)
  // What has started does not wait any more, whatever became of what it depends on.
  for (const { service, condition, fact } of unsettled ? waitsFor : [])
    why.push(`It depends on ${service} (${condition}), but ${fact}.`)
  return `${[...blocks, ...(why.length > 0 ? [why.map(line).join('\n')] : [])].join('\n\n')}\n`
}

const isRunning = ({ status }: Story): boolean =>
  status.state === 'running' || status.state === 'paused'

function absenceText({ service, wanted, events }: Explanation): string {
  const last = events.at(-1)
  const known = last === undefined ? '' : ` Last, ${last.time}: ${eventText(last)}.`
  return line(
    wanted
      ? `${service} has no container, though the last up asked for it.${known}`
      : `${service} has no container, and no up asks for it.${known}`,
  )
}

function storyText(story: Story, now: number): string {
  return [headline(story, now), ...details(story).map((text) => `  ${text}`)].map(line).join('\n')
}

function headline({ container, status, restart, started }: Story, now: number): string {
  switch (status.state) {
    case 'created':
      return `${container} was made and has never run.`
    case 'running':
    case 'paused': {
      const age = durationText(now - Date.parse(status.startedAt))
      const health = status.health === null ? '' : `, ${status.health}`
      const state = status.state === 'paused' ? 'stands still: somebody paused it' : 'runs'
      return `${container} ${state}${health}; started ${age} ago${whyText(started)}.`
    }
    case 'stopped':
      return `${container} ${stoppedText(status, now)}${leftText(status, restart.name)}`
  }
}

type Stopped = Extract<Story['status'], { state: 'stopped' }>

function stoppedText(status: Stopped, now: number): string {
  const ago = `${durationText(now - Date.parse(status.finishedAt))} ago`
  return status.byUser ? `was stopped by a user ${ago}` : `${endText(status)} ${ago}`
}

function leftText({ byUser, restartAt, undecided }: Stopped, policy: string): string {
  if (byUser) return '; only a user starts it again.'
  if (restartAt !== null) return `; its restart policy starts it again at ${restartAt}.`
  if (undecided === true) return `; its restart policy (${policy}) starts it again.`
  return `; its restart policy (${policy}) leaves it so.`
}

function details(story: Story): readonly string[] {
  const { created, ends, oom, health, sickened, drift, restart, restartCount } = story
  const lines: string[] = []
  if (created !== null) lines.push(`made      ${created.time}${whyText(created)}`)
  if (restartCount > 0)
    lines.push(`restarts  ${restartCount} by its restart policy (${restart.name})`)
  for (const end of ends) lines.push(`ended     ${end.time} ${endOf(end)}`)
  if (oom !== null) lines.push(`memory    ${oom.time} ${eventReason(oom)}`)
  if (sickened !== null) lines.push(`sick      ${sickened.time} ${outputOf(sickened)}`)
  const result = health?.results.at(-1)
  if (result !== undefined) {
    const said = oneLine(result.output)
    const how = result.exitCode === 0 ? 'passed' : `failed with ${result.exitCode}`
    const streak =
      health !== null && health.failingStreak > 0 ? `, ${health.failingStreak} in a row` : ''
    lines.push(`check     ${result.finishedAt} ${how}${streak}${said === '' ? '' : `: ${said}`}`)
  }
  if (drift !== null) lines.push(`repaired  ${drift.time} ${eventReason(drift)}`)
  return lines
}

function endOf({ because }: PakEvent): string {
  if (because?.kind !== 'exited') return ''
  const { ranMs } = because
  return `${endText(because)}${ranMs === undefined ? '' : ` after ${(ranMs / 1000).toFixed(1)} s`}`
}

function endText({
  exitCode,
  oomKilled,
}: {
  readonly exitCode: number
  readonly oomKilled: boolean
}): string {
  if (exitCode < 0) return 'ended while nobody watched'
  if (oomKilled) return `was killed by the kernel for memory (${exitCode})`
  const signal = SIGNALS.get(exitCode - 128)
  return `exited with ${exitCode}${signal === undefined ? '' : ` (${signal})`}`
}

const SIGNALS: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
)

const whyText = (event: PakEvent | null): string =>
  event === null || event.because === null ? '' : ` (${reasonText(event.because)})`

const eventReason = ({ because }: PakEvent): string => (because === null ? '' : reasonText(because))

const eventText = (event: PakEvent): string => `${event.type} ${event.on}${whyText(event)}`

function outputOf({ because }: PakEvent): string {
  const output = because?.kind === 'unhealthy' ? oneLine(because.output ?? '') : ''
  return output === '' ? 'unhealthy' : `unhealthy, the last check said: ${output}`
}

const OUTPUT_LENGTH = 300

const oneLine = (output: string): string =>
  printableOutput(output, OUTPUT_LENGTH)
    .trim()
    .replaceAll(/\s*\n\s*/g, ' | ')

/** Names, messages and outputs are anybody's. */
const line = (text: string): string => text.split('\n').map(withoutControl).join(' ')
