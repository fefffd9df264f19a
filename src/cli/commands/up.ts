import { dirname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { AgentClient } from '../../agent/client.ts'
import type { OperationLine, UpOptions, UpRequest } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { DesiredState } from '../../model/desired.ts'
import type { Plan } from '../../model/plan.ts'
import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { evidentName, loadProject } from '../project.ts'
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
  const order = await begin(invocation, await beginning.running, canAsk && !flags.on('yes'))
  const work = await order.work
  for (const text of work.warnings) yield { type: 'warning', text }
  const agent = await beginning.agent
  const since = Date.now()
  yield { type: 'note', text: 'looking at the machine' }
  const { project } = work.desired
  let ok = false
  for await (const line of applied(agent, { ...order, project, signal: interrupts.signal })) {
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

interface UpOrder {
  readonly work: Promise<UpWork>
  readonly request: Promise<UpRequest>
  /** The agent's answer, where it was asked before the manifest was read. */
  readonly ahead: { readonly name: string; readonly lines: AsyncIterable<OperationLine> } | null
}

/**
 * Begin to read the manifest. An agent that runs, and a name that a glance tells, let the request go ahead
 * of it: the agent looks at the machine while this process reads.
 */
async function begin(
  invocation: Invocation,
  running: AgentClient | null,
  asks: boolean,
): Promise<UpOrder> {
  const { flags, globals, interrupts } = invocation
  const slow = flags.text('plan') !== null || globals.files.includes('-')
  const name = slow ? null : await evidentName(globals)
  const requestOf = (work: Promise<UpWork>): Promise<UpRequest> => {
    const request = work.then(({ desired, options, expectedPlan }) => {
      return { desired, options, expectedPlan, keepData: asks && expectedPlan === null }
    })
    // What is wrong with the manifest is told by `work`.
    request.catch(() => {})
    return request
  }
  if (running === null || name === null) {
    const work = upWork(invocation)
    return { work, request: requestOf(work), ahead: null }
  }
  // A turn later: by then the head of the request is on its way, and reading blocks.
  const work = setImmediate().then(() => upWork(invocation))
  const request = requestOf(work)
  const lines = running.upPending(name, request, interrupts.signal)
  return { work, request, ahead: { name, lines } }
}

/** Data that would be lost is asked about once, before anything is touched. */
async function* applied(
  agent: AgentClient,
  order: UpOrder & { readonly project: string; readonly signal: AbortSignal },
): AsyncGenerator<ProgressItem> {
  const { project, signal, ahead } = order
  const request = await order.request
  const lines = ahead?.name === project ? ahead.lines : agent.up(project, request, signal)
  let refused: Plan | null = null
  try {
    for await (const line of lines) {
      if (request.keepData && line.type === 'plan' && losses(line.plan).length > 0)
        refused = line.plan
      else yield line
    }
  } catch (error) {
    if (!(error instanceof PakError) || error.code !== 'unconfirmed' || refused === null)
      throw error
    yield* confirmed(refused)
    yield* agent.up(project, { ...request, expectedPlan: refused, keepData: false }, signal)
  }
}

const losses = ({ steps }: Plan): readonly string[] => [
  ...new Set(steps.filter(({ destroys }) => destroys).map(({ on }) => on)),
]

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

/** @throws PakError `cancelled` unless the user agrees */
async function* confirmed(plan: Plan): AsyncGenerator<ProgressItem> {
  let agreed = false
  const answer = (yes: boolean) => {
    agreed = yes
  }
  const what = losses(plan).join(', ')
  yield { type: 'question', text: `this destroys the data of ${what}. Go on?`, answer }
  if (!agreed) throw new PakError('cancelled', 'up: nothing was changed')
}
