import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { rewire } from './attach.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { containerRecord } from './records.ts'

/** Bring running containers back to what their records say, in place: limits, cgroup, interfaces. */
export async function repairContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.repair'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const records = await host.records.of(context.project)
  return forEach(steps, context, async ({ args }) => {
    const record = containerRecord(records, 'repair', args.container)
    // It ended meanwhile: there is nothing to repair, and the loop hears of it by itself.
    if (record.run === null) return
    const { pid } = record.run
    const cgroup = host.layout.cgroup(context.project, record.name)
    if (host.cgroups.strayed(cgroup, pid) !== null) await host.cgroups.adopt(cgroup, pid)
    await host.cgroups.update(cgroup, record.spec.limits)
    await rewire(host, context.project, { record, pid })
    if (record.paused === true) await host.cgroups.freeze(cgroup)
  })
}
