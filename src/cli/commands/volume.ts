import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

/** `volume rm`: the project's volumes by name; one that a container uses stays and is an error. */
export async function remove({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly string[]> {
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  for (const volume of words) await agent.removeVolume(project, volume)
  return words
}
