import { PakError } from '../../errors.ts'
import { isAlive } from '../../kernel/process.ts'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { currentRun } from './runs.ts'

/** Through the freezer itself, not the OCI runtime: it is where `inspect` looks, too. */
export const pauseContainers = handler('container.pause', 'pause', (host, cgroup) =>
  host.cgroups.freeze(cgroup),
)

export const unpauseContainers = handler('container.unpause', 'unpause', (host, cgroup) =>
  host.cgroups.thaw(cgroup),
)

function handler<O extends 'container.pause' | 'container.unpause'>(
  _op: O,
  verb: string,
  act: (host: LinuxHost, cgroup: string) => Promise<void>,
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
      if (run === null || !(await isAlive(host.kernel, run)))
        throw new PakError('conflict', `${verb} container \`${container}\`: it is not running`)
      await act(host, host.layout.cgroup(context.project, container))
    })
  }
}
