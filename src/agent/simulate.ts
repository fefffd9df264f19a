import { apply } from '../executor/apply.ts'
import type { Executor } from '../executor/executor.ts'
import { memoryExecutor } from '../executor/memory/memory.ts'
import type { DesiredState } from '../model/desired.ts'
import type { Plan } from '../model/plan.ts'
import { plan } from '../plan/plan.ts'
import type { UpOptions } from './wire.ts'

/** Plan and apply on an empty host in memory: needs no root and touches nothing. */
export async function simulate(desired: DesiredState, options: UpOptions, signal: AbortSignal) {
  const awaited = oneShots(desired)
  const host = memoryExecutor({ exits: ({ service }) => (awaited.has(service) ? 0 : null) })
  const first = await planOn(host, desired, options)
  const applied = await apply(first, host, { signal, concurrency: 8, onEvent: () => {} })
  const failure = applied.failed[0]
  if (failure !== undefined) throw failure.error
  const second = await planOn(host, desired, options)
  const simulated = { done: applied.done.length, left: second.steps.length }
  return { plan: first, problems: [], simulated }
}

/** What somebody waits for to complete does so at once; everything else runs. */
const oneShots = (desired: DesiredState): ReadonlySet<string> =>
  new Set(
    desired.services.flatMap(({ dependsOn }) =>
      dependsOn
        .filter(({ condition }) => condition === 'service_completed_successfully')
        .map(({ service }) => service),
    ),
  )

async function planOn(host: Executor, desired: DesiredState, options: UpOptions): Promise<Plan> {
  const images = desired.services.flatMap(({ container: { source } }) =>
    source.kind === 'image' ? [source.reference] : [],
  )
  const observed = await host.inspect({ project: desired.project, images: async () => images })
  const now = new Date().toISOString()
  return plan(desired, observed, { ...options, removeVolumes: false, cause: 'user', now })
}
