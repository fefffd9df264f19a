import { PakError } from '../../errors.ts'
import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { loadProject, projectName } from '../project.ts'
import { peekAgent } from '../session.ts'

/** Take the project down. The manifest is asked for its name; the agent knows what it made. */
export async function* down(invocation: Invocation): AsyncGenerator<ProgressItem> {
  const { flags, globals, interrupts } = invocation
  const project = await projectName(globals)
  const agent = await peekAgent(globals, interrupts.signal)
  if (agent === null) {
    yield { type: 'message', text: `nothing to take down in ${project}` }
    return
  }
  const desired = await desiredOrNull(invocation)
  const options = {
    removeVolumes: flags.on('volumes'),
    removeOrphans: flags.on('removeOrphans'),
    graceMs: flags.seconds('timeout'),
    detached: false,
  }
  yield* agent.down(project, { desired, options }, interrupts.signal)
}

/** A manifest that is broken or gone must not keep anybody from taking down what it once made. */
async function desiredOrNull({ globals }: Invocation) {
  try {
    return (await loadProject(globals)).desired
  } catch (error) {
    if (error instanceof PakError) return null
    throw error
  }
}
