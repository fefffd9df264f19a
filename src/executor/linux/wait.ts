import { PakError } from '../../errors.ts'
import type { StepOf } from '../../model/plan.ts'
import type { ContainerStatus } from '../../model/status.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { statusOf } from './runs.ts'
import { waitForUpdate } from './wait-updated.ts'

const LOOK_EVERY_MS = 50

type WaitArgs = StepOf<'service.wait'>['args']

/** Wait until each container meets the condition; give up at once when it no longer can. */
export function waitForServices(
  host: LinuxHost,
  steps: readonly StepOf<'service.wait'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  return forEach(steps, { ...context, concurrency: steps.length }, async (step) => {
    const { args } = step
    if (args.update !== undefined) return waitForUpdate(host, step, context)
    const deadline = performance.now() + args.timeoutMs
    for (const container of args.containers)
      await waitFor(host, { ...args, container, deadline }, context)
  })
}

async function waitFor(
  host: LinuxHost,
  { container, condition, deadline, timeoutMs }: WaitArgs & { container: string; deadline: number },
  context: RunContext,
): Promise<void> {
  for (;;) {
    if (context.signal.aborted || context.hurry?.aborted === true)
      throw new PakError('cancelled', 'wait: interrupted')
    const record = (await host.records.of(context.project)).containers.get(container)
    if (record === undefined)
      throw new PakError('conflict', `wait for container \`${container}\`: it is gone`)
    if (met(condition, await statusOf(host, context.project, record), container)) return
    if (performance.now() > deadline)
      throw new PakError(
        'timeout',
        `wait for container \`${container}\`: not ${word(condition)} after ${timeoutMs} ms`,
      )
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** @throws PakError `exited` or `unhealthy` when the condition can no longer be met. */
function met(
  condition: WaitArgs['condition'],
  status: ContainerStatus,
  container: string,
): boolean {
  if (condition === 'service_completed_successfully') {
    if (status.state !== 'stopped') return false
    if (status.exitCode === 0) return true
    throw new PakError(
      'exited',
      `wait for container \`${container}\`: it exited with ${status.exitCode}`,
    )
  }
  if (status.state === 'stopped')
    throw new PakError(
      'exited',
      `wait for container \`${container}\`: it exited with ${status.exitCode} before it was healthy`,
    )
  if (status.state !== 'running') return false
  if (status.health === 'unhealthy')
    throw new PakError('unhealthy', `wait for container \`${container}\`: it is unhealthy`)
  return status.health === 'healthy'
}

const word = (condition: WaitArgs['condition']): string =>
  condition === 'service_healthy' ? 'healthy' : 'completed'
