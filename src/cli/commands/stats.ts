import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentClient } from '../../agent/client.ts'
import { PakError } from '../../errors.ts'
import type { ProcessRow, UsageRow } from '../../model/usage.ts'
import type { Invocation } from '../grammar.ts'
import { projectHere } from '../project.ts'
import { peekAgent } from '../session.ts'

const EVERY_MS = 1000
/** The kernel adds up the time of what runs at its ticks, up to 10 ms apart: a point in a hundred of this. */
const SAMPLE_MS = 1000
/** Somebody waits, and so much precision is enough. */
const TOP_SAMPLE_MS = 500
const FIRST_SAMPLE_MS = 200

/** `stats`: one table for a pipe, JSON and `--no-stream`; on a terminal one each second until ^C. */
export async function* stats(invocation: Invocation): AsyncGenerator<readonly UsageRow[]> {
  const { globals, interrupts, words } = invocation
  const { signal } = interrupts
  const project = await projectHere(globals)
  const agent = await peekAgent(globals, signal)
  const live = isLive(invocation)
  const look = async (sampleMs: number) =>
    selected((await agent?.stats({ project, sampleMs }, signal)) ?? [], invocation)
  const first = await look(live ? FIRST_SAMPLE_MS : SAMPLE_MS)
  known(words, first, { verb: 'stats', project })
  yield first
  try {
    while (live && !signal.aborted) {
      const from = performance.now()
      // Each measurement begins where the last one ended.
      const rows = await look(EVERY_MS)
      // Where nothing runs there is nothing to measure, and no time passes.
      await sleep(Math.max(0, EVERY_MS - (performance.now() - from)), undefined, { signal })
      yield rows
    }
  } catch (error) {
    // ^C is how this ends.
    if (!signal.aborted) throw error
  }
}

/** `top`: the processes of running containers. */
export async function top({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly ProcessRow[]> {
  const project = await projectHere(globals)
  const agent: AgentClient | null = await peekAgent(globals, interrupts.signal)
  const rows = (await agent?.top({ project, sampleMs: TOP_SAMPLE_MS }, interrupts.signal)) ?? []
  const found = rows.filter(({ service }) => words.length === 0 || words.includes(service))
  if (words.some((word) => !rows.some(({ service }) => service === word)))
    known(words, (await agent?.containers(project)) ?? [], { verb: 'top', project })
  return found
}

/** A table that moves needs somebody who looks, and a terminal that can. */
export const isLive = ({ flags, terminal }: Invocation): boolean =>
  !flags.off('stream') &&
  flags.text('format') !== 'json' &&
  terminal.stdout.isTTY === true &&
  !terminal.dumb

function selected(rows: readonly UsageRow[], { flags, words }: Invocation): readonly UsageRow[] {
  const wanted = ({ scope, service }: UsageRow): boolean =>
    words.length === 0 || (scope !== 'project' && words.includes(service ?? ''))
  return rows
    .filter(({ scope }) => flags.on('total') || scope === 'container')
    .filter(({ pids }) => flags.on('all') || words.length > 0 || pids !== null)
    .filter(wanted)
}

function known(
  words: readonly string[],
  rows: readonly { readonly service: string | null }[],
  { verb, project }: { readonly verb: string; readonly project: string | null },
): void {
  const missing = words.find((word) => !rows.some(({ service }) => service === word))
  if (missing === undefined) return
  const place = project === null ? '' : ` in ${project}`
  throw new PakError('not_found', `${verb} \`${missing}\`: no such service${place}`)
}
