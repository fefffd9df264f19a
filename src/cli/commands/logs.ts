import { PakError } from '../../errors.ts'
import { type LogEntry, logSources, readLogs, silentSources } from '../../telemetry/logs.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { timeOf } from '../values.ts'

export interface LogLines {
  readonly entries: AsyncIterable<LogEntry>
  /** Labels known now, for a prefix of one width. */
  readonly labels: readonly string[]
  /** Labels of containers of which no log is kept. */
  readonly silent: readonly string[]
}

/** What containers wrote, straight from their files: no agent is asked, so it works without one. */
export async function logs({ flags, globals, interrupts, words }: Invocation): Promise<LogLines> {
  const now = Date.now()
  const tail = flags.text('tail')
  const since = flags.text('since')
  const until = flags.text('until')
  const request = {
    root: globals.root,
    project: await projectName(globals),
    services: words,
    follow: flags.on('follow'),
    tail: tail === null || tail === 'all' ? null : flags.count('tail'),
    sinceMs: since === null ? null : timeOf(since, 'since', now),
    untilMs: until === null ? null : timeOf(until, 'until', now),
    signal: interrupts.signal,
  }
  const [sources, silent] = await Promise.all([logSources(request), silentSources(request)])
  const known = new Set([...sources, ...silent].map(({ service }) => service))
  const missing = words.find((word) => !known.has(word))
  // Followed, a service may be one that comes later.
  if (missing !== undefined && !request.follow)
    throw new PakError('not_found', `logs \`${missing}\`: no such service in ${request.project}`, {
      hint: 'pak ps -a lists what there is',
    })
  return {
    entries: readLogs(request),
    labels: sources.map(({ label }) => label),
    silent: silent.map(({ label }) => label),
  }
}
