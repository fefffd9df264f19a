import { dirname } from 'node:path'
import type { AgentClient } from '../../agent/client.ts'
import type { UpOptions } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { DesiredState } from '../../model/desired.ts'
import type { Plan } from '../../model/plan.ts'
import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { loadProject } from '../project.ts'
import { beginAgent } from '../session.ts'
import { attach } from './attach.ts'
import { readSavedPlan } from './saved-plan.ts'
import { scaled } from './scaled.ts'
import { waitUntilReady } from './wait.ts'

/** Everything that `up` tells while it makes the machine look like the file. */
export async function up(invocation: Invocation): Promise<AsyncIterable<ProgressItem>> {
  const { flags, terminal } = invocation
  if (flags.text('plan') !== null && invocation.words.length > 0)
    throw new PakError('usage', 'up --plan: the saved plan says which services')
  return steps(invocation, terminal.stdin.isTTY === true && terminal.stderr.isTTY === true)
}

interface UpWork {
  readonly desired: DesiredState
  readonly options: UpOptions
  readonly expectedPlan: Plan | null
  readonly warnings: readonly string[]
}

async function* steps(invocation: Invocation, canAsk: boolean): AsyncGenerator<ProgressItem> {
  const { flags, globals, interrupts } = invocation
  yield { type: 'note', text: 'reading the manifest' }
  const beginning = beginAgent(globals, interrupts.signal)
  await beginning.underWay
  const work = await upWork(invocation)
  for (const text of work.warnings) yield { type: 'warning', text }
  const agent = await beginning.agent
  const since = Date.now()
  yield { type: 'note', text: 'looking at the machine' }
  const expectedPlan =
    work.expectedPlan ?? (canAsk && !flags.on('yes') ? yield* confirmed(agent, work) : null)
  const { project } = work.desired
  const request = { desired: work.desired, options: work.options, expectedPlan }
  let ok = false
  for await (const line of agent.up(project, request, interrupts.signal)) {
    if (line.type === 'result') ok = line.ok
    yield line
  }
  if (!ok) return
  const services = work.options.services ?? work.desired.services.map(({ name }) => name)
  if (flags.on('wait'))
    yield* waitUntilReady(agent, {
      project,
      services,
      timeoutMs: work.options.waitTimeoutMs,
      signal: interrupts.signal,
    })
  if (flags.on('detach') || flags.on('wait')) return
  yield* attach(agent, { invocation, project, services, sinceMs: since })
}

async function upWork(invocation: Invocation): Promise<UpWork> {
  const { flags, globals, words } = invocation
  const file = flags.text('plan')
  if (file !== null) return { ...(await readSavedPlan(file, globals.cwd)), warnings: [] }
  const { desired, warnings, files } = await loadProject(globals, words)
  return {
    desired: scaled(desired, flags.list('scale')),
    options: upOptions(invocation, files),
    expectedPlan: null,
    warnings,
  }
}

/** The options that decide what is planned: `plan` and `up` must read them alike. */
export function upOptions({ flags, words }: Invocation, [file]: readonly string[]): UpOptions {
  return {
    services: words.length === 0 ? null : words,
    noDeps: flags.off('deps'),
    forceRecreate: flags.on('forceRecreate'),
    removeOrphans: flags.on('removeOrphans'),
    timeoutMs: flags.seconds('timeout'),
    waitTimeoutMs: flags.seconds('waitTimeout') ?? DEFAULT_WAIT_MS,
    origin: file === undefined ? null : dirname(file),
    detached: false,
  }
}

const DEFAULT_WAIT_MS = 5 * 60_000

/** Data that would be lost is asked about once, before anything is touched. */
async function* confirmed(
  agent: AgentClient,
  work: UpWork,
): AsyncGenerator<ProgressItem, Plan | null> {
  const { plan } = await agent.plan(work.desired.project, work)
  const lost = plan.steps.filter((step) => step.destroys)
  if (lost.length === 0) return null
  let agreed = false
  const answer = (yes: boolean) => {
    agreed = yes
  }
  const what = [...new Set(lost.map((step) => step.on))].join(', ')
  yield { type: 'question', text: `this destroys the data of ${what}. Go on?`, answer }
  if (!agreed) throw new PakError('cancelled', 'up: nothing was changed')
  return plan
}
