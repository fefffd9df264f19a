import type { Action } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

/** `stop`, `start`, `restart`, `kill` and `rm`, on all services or some. */
export function act(
  action: Action,
): (invocation: Invocation) => Promise<AsyncIterable<ProgressItem>> {
  return async (invocation) => run(action, invocation)
}

async function* run(action: Action, invocation: Invocation): AsyncGenerator<ProgressItem> {
  const { flags, globals, interrupts, words } = invocation
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const known = await agent.containers(project)
  const missing = words.find((word) => !known.some((row) => row.service === word))
  if (missing !== undefined)
    throw new PakError('not_found', `${action} \`${missing}\`: no such service in ${project}`, {
      hint: 'pak ps -a lists what there is',
    })
  const options = {
    graceMs: flags.seconds('timeout'),
    signal: flags.text('signal'),
    force: flags.on('force') || flags.on('stop'),
    detached: false,
  }
  yield* agent.action(project, { action, services: words, options }, interrupts.signal)
}
