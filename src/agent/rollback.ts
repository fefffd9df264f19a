import { PakError } from '../errors.ts'
import type { ObservedState } from '../model/observed.ts'
import { plan } from '../plan/plan.ts'
import { beginAnew, toTheEnd } from './operations.ts'
import { loopOptions } from './turn.ts'
import { beforeOf, restored, type Update, type Updates } from './updates.ts'
import { concludeUpdates, readWanted } from './updating.ts'
import type { ResultLine, RollbackRequest } from './wire.ts'
import { type Caller, perform, type Workshop, workOf } from './work.ts'

/**
 * Go back to what services were before their last update; empty: all that were updated.
 * @throws PakError `not_found` where there is nothing to go back to
 */
export async function rollback(
  shop: Workshop,
  project: string,
  { services }: RollbackRequest,
  caller: Caller,
): Promise<ResultLine> {
  beginAnew(shop, project)
  const [wanted, known] = await Promise.all([
    readWanted(shop, project),
    shop.kept.readUpdates(project),
  ])
  const names = chosen(known, services)
  const back = new Map(known)
  for (const name of names) {
    const before = known.get(name)?.before ?? null
    back.set(name, { state: 'rolling back', before })
  }
  const desired = wanted === null ? null : restored(wanted, back)
  let seen: ObservedState | null = null
  const { result } = await perform(shop, {
    ...workOf(project, 'action', caller),
    cause: 'rollback',
    order: async () => ({
      desired,
      decide: (target, observed) => {
        seen = observed
        if (target === null) throw new PakError('not_found', `rollback: nothing runs in ${project}`)
        const options = loopOptions(shop, project, { now: shop.now(), updates: back })
        return plan(target, observed, { ...options, cause: 'user', hold: new Set() })
      },
      onAccepted: async () => {
        if (desired === null || wanted === null || seen === null) return
        const observed: ObservedState = seen
        const updates = new Map<string, Update>(back)
        for (const name of names) {
          const next = beforeOf(wanted, name, observed)
          const update = back.get(name)
          if (update !== undefined && next !== null) updates.set(name, { ...update, next })
        }
        await shop.kept.writeUpdates(project, updates)
        await shop.kept.write(project, desired)
      },
    }),
  })
  const conclusion = await concludeUpdates(shop, project, { result })
  return toTheEnd(shop, project, { result, conclusion, signal: caller.signal })
}

function chosen(updates: Updates, services: readonly string[]): readonly string[] {
  const possible = [...updates].flatMap(([name, { before }]) => (before === null ? [] : [name]))
  const missing = services.find((name) => !possible.includes(name))
  if (missing !== undefined || possible.length === 0) {
    const what = missing === undefined ? 'rollback' : `rollback \`${missing}\``
    throw new PakError('not_found', `${what}: there is no version before`, {
      hint: 'only what an up has changed can go back',
    })
  }
  return services.length === 0 ? possible : services
}
