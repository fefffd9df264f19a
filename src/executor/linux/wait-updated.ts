import { PakError } from '../../errors.ts'
import { isAhead } from '../../model/clock.ts'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import { statusOf } from './runs.ts'

const LOOK_EVERY_MS = 50

type WaitStep = StepOf<'service.wait'>
type Policy = NonNullable<WaitStep['args']['update']>

/**
 * Wait until a batch of an update has shown that it works: healthy where there is a check, else running for
 * the time that its policy says. Then pause before the next batch.
 * @throws PakError `exited`, `unhealthy` or `timeout` when more than may fail do; `cancelled`
 */
export async function waitForUpdate(
  host: LinuxHost,
  { id, args }: WaitStep,
  context: RunContext,
): Promise<void> {
  const { containers, timeoutMs, update } = args
  if (update === undefined) return
  const bound = { deadline: performance.now() + timeoutMs, timeoutMs, update }
  const all = await Promise.all(
    containers.map((name) => outcomeOf(host, context, { ...bound, name })),
  )
  const failures = all.flatMap((error) => error ?? [])
  const [first] = failures
  if (first !== undefined) {
    const before = await failed(host, context, update.earlier)
    if (failures.length + before > update.tolerated) throw first
    for (const failure of failures) context.warn?.(id, failure)
  }
  const until = performance.now() + update.delayMs
  while (performance.now() < until) await moment(context)
}

interface Look {
  readonly name: string
  readonly deadline: number
  readonly timeoutMs: number
  readonly update: Policy
}

/** `null`: it works. */
async function outcomeOf(
  host: LinuxHost,
  context: RunContext,
  { name, deadline, timeoutMs, update }: Look,
): Promise<PakError | null> {
  for (;;) {
    const verdict = await verdictOf(host, context, { name, monitorMs: update.monitorMs })
    if (verdict !== 'not yet') return verdict
    if (performance.now() > deadline)
      return new PakError('timeout', `update, \`${name}\`: does not work after ${timeoutMs} ms`)
    await moment(context)
  }
}

async function verdictOf(
  host: LinuxHost,
  { project }: RunContext,
  { name, monitorMs }: { readonly name: string; readonly monitorMs: number },
): Promise<PakError | null | 'not yet'> {
  const record = (await host.records.of(project)).containers.get(name)
  if (record === undefined) return new PakError('conflict', `update, \`${name}\`: it is gone`)
  const { spec } = record
  const status = await statusOf(host, project, record)
  if (status.state === 'stopped') {
    const lasts = spec.restart.name === 'always' || spec.restart.name === 'unless-stopped'
    if (status.exitCode === 0 && !lasts) return null
    return new PakError('exited', `update, \`${name}\`: it exited with ${status.exitCode}`)
  }
  if (status.state !== 'running') return 'not yet'
  if (spec.healthcheck === null)
    return isAhead(Date.parse(status.startedAt) + monitorMs, Date.now(), monitorMs)
      ? 'not yet'
      : null
  if (status.health === 'unhealthy')
    return new PakError('unhealthy', `update, \`${name}\`: it is unhealthy`)
  return status.health === 'healthy' ? null : 'not yet'
}

async function failed(
  host: LinuxHost,
  context: RunContext,
  names: readonly string[],
): Promise<number> {
  const verdicts = await Promise.all(
    names.map((name) => verdictOf(host, context, { name, monitorMs: 0 })),
  )
  return verdicts.filter((verdict) => verdict !== null).length
}

async function moment({ signal, hurry }: RunContext): Promise<void> {
  if (signal.aborted || hurry?.aborted === true)
    throw new PakError('cancelled', 'update: interrupted')
  await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
}
