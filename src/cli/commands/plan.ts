import { PakError } from '../../errors.ts'
import type { ErrorFacts } from '../../model/events.ts'
import type { Plan } from '../../model/plan.ts'
import type { Invocation } from '../grammar.ts'
import { loadProject } from '../project.ts'
import { beginAgent } from '../session.ts'
import { writeSavedPlan } from './saved-plan.ts'
import { scaled } from './scaled.ts'
import { upOptions } from './up.ts'

export interface Planned {
  readonly plan: Plan
  /** What `up` would refuse for. */
  readonly problems: readonly ErrorFacts[]
  /** Only with `--simulate`: what a host in memory made of it. */
  readonly simulated: { readonly done: number; readonly left: number } | null
  /** Where it was saved. */
  readonly savedTo: string | null
}

/** What `up` would do, and why. Changes nothing. */
export async function plan(invocation: Invocation): Promise<Planned> {
  const { flags, globals, interrupts, words } = invocation
  const simulating = flags.on('simulate')
  const beginning = simulating ? null : beginAgent(globals, interrupts.signal)
  await beginning?.running
  const loaded = await loadProject(globals, words)
  const desired = scaled(loaded.desired, flags.list('scale'))
  const options = upOptions(invocation, loaded.files)
  const agent = await beginning?.agent
  const answer =
    agent === undefined
      ? await (await import('../../agent/simulate.ts')).simulate(
          desired,
          options,
          interrupts.signal,
        )
      : { ...(await agent.plan(desired.project, { desired, options })), simulated: null }
  const savedTo = flags.text('output')
  if (savedTo !== null) {
    if (simulating)
      throw new PakError('usage', 'plan: a simulated plan is not for this machine, so not for -o')
    await writeSavedPlan(savedTo, globals.cwd, { desired, options, plan: answer.plan })
  }
  return { ...answer, savedTo }
}
