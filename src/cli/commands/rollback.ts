import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

/** What services were before their last update, until the next `up`. */
export async function* rollback({
  globals,
  interrupts,
  words,
}: Invocation): AsyncGenerator<ProgressItem> {
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  yield* agent.rollback(project, { services: words, detached: false }, interrupts.signal)
}
