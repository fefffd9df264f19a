import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'
import { loadProject } from '../project.ts'
import { openAgent } from '../session.ts'
import { parseScale, scaled } from './scaled.ts'
import { upOptions } from './up.ts'

/** `scale web=3`: an `up` of just these services, with other numbers of replicas than the file has. */
export async function* scale(invocation: Invocation): AsyncGenerator<ProgressItem> {
  const { globals, interrupts, words } = invocation
  const services = words.map((word) => parseScale(word)[0])
  const { desired, warnings, files } = await loadProject(globals, services)
  const wanted = scaled(desired, words)
  for (const text of warnings) yield { type: 'warning', text }
  const agent = await openAgent(globals, interrupts.signal)
  const options = { ...upOptions(invocation, files), services }
  const request = { desired: wanted, options, expectedPlan: null }
  yield* agent.up(desired.project, request, interrupts.signal)
}
