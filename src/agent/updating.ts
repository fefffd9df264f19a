import type { ApplyResult } from '../executor/apply.ts'
import type { DesiredState } from '../model/desired.ts'
import { type Conclusion, concluded, restored } from './updates.ts'
import type { ResultLine } from './wire.ts'
import type { Workshop } from './work.ts'

/** What is wanted, after a rollback that an agent had no time to write down. */
export async function readWanted(
  { kept }: Workshop,
  project: string,
): Promise<DesiredState | null> {
  const [desired, updates] = await Promise.all([kept.read(project), kept.readUpdates(project)])
  return desired === null ? null : restored(desired, updates)
}

/** After a plan: see how the updates went, and want the version before where one has failed so. */
export async function concludeUpdates(
  shop: Workshop,
  project: string,
  {
    result,
    scope = null,
  }: { readonly result: ApplyResult; readonly scope?: ReadonlySet<string> | null },
): Promise<Conclusion | null> {
  const { kept } = shop
  const [desired, updates] = await Promise.all([
    readWanted(shop, project),
    kept.readUpdates(project),
  ])
  if (desired === null || updates.size === 0) return null
  const time = shop.now().toISOString()
  const conclusion = concluded(updates, { desired, result, time, scope })
  if (conclusion.events.length === 0) return null
  // What is wanted is whole before its rollback is said to be over, and the other way round.
  await kept.write(project, restored(desired, updates))
  await kept.writeUpdates(project, conclusion.updates)
  await kept.write(project, restored(desired, conclusion.updates))
  shop.events.add(conclusion.events)
  return conclusion
}

/** Says with each failure what became of the update. */
export function withFate(line: ResultLine, conclusion: Conclusion | null): ResultLine {
  if (conclusion === null) return line
  const { back, paused } = conclusion
  const hintFor = (id: string): string | null => {
    const service = id.slice(id.indexOf(':') + 1).split('/')[1] ?? ''
    if (back.includes(service)) return `${service} was rolled back to the version before`
    if (paused.includes(service))
      return `the update of ${service} is paused; pak rollback ${service} goes back`
    return null
  }
  const failed = line.failed.map(({ id, error }) => ({
    id,
    error: { ...error, hint: error.hint ?? hintFor(id) },
  }))
  return { ...line, failed }
}
