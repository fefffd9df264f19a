import { PakError } from '../../errors.ts'
import { isAlive } from '../../kernel/process.ts'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'
import { currentRun } from './runs.ts'

/** Through the freezer itself, not the OCI runtime: it is where `inspect` looks, too. */
export const pauseContainers = handler('container.pause', 'pause', async (host, paused) => {
  await host.cgroups.freeze(host.layout.cgroup(paused.project, paused.record.name))
  await host.records.putContainer(paused.project, { ...paused.record, paused: true })
})

/** Written down first: what is thawed though it should be paused has drifted. */
export const unpauseContainers = handler('container.unpause', 'unpause', async (host, paused) => {
  await host.records.putContainer(paused.project, { ...paused.record, paused: false })
  await host.cgroups.thaw(host.layout.cgroup(paused.project, paused.record.name))
})

interface Paused {
  readonly project: string
  readonly record: ContainerRecord
}

function handler<O extends 'container.pause' | 'container.unpause'>(
  _op: O,
  verb: string,
  act: (host: LinuxHost, paused: Paused) => Promise<void>,
) {
  return async (
    host: LinuxHost,
    steps: readonly StepOf<O>[],
    context: RunContext,
  ): Promise<readonly StepOutcome[]> => {
    const { containers } = await host.records.of(context.project)
    return forEach(steps, context, async ({ args: { container } }) => {
      const record = containers.get(container)
      const run = record === undefined ? null : await currentRun(host, record)
      if (record === undefined || run === null || !(await isAlive(host.kernel, run)))
        throw new PakError('conflict', `${verb} container \`${container}\`: it is not running`)
      await act(host, { project: context.project, record: { ...record, run } })
    })
  }
}
