import { staysAlive } from '../../kernel/process.ts'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { rewire } from './attach.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { type ContainerRecord, containerRecord } from './records.ts'

/** Bring running containers back to what their records say, in place: limits, cgroup, interfaces. */
export async function repairContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.repair'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const records = await host.records.of(context.project)
  return forEach(steps, context, async ({ args }) => {
    const record = containerRecord(records, 'repair', args.container)
    const { run } = record
    // It ended meanwhile: there is nothing to repair, and the loop hears of it by itself.
    if (run === null) return
    try {
      await repair(host, context.project, { record, pid: run.pid })
    } catch (error) {
      if (staysAlive(host.kernel, run)) throw error
    }
  })
}

async function repair(
  host: LinuxHost,
  projectName: string,
  { record, pid }: { readonly record: ContainerRecord; readonly pid: number },
): Promise<void> {
  const cgroup = host.layout.cgroup(projectName, record.name)
  if (host.cgroups.strayed(cgroup, pid) !== null) await host.cgroups.adopt(cgroup, pid)
  await host.cgroups.update(cgroup, record.spec.limits)
  await rewire(host, projectName, { record, pid })
  if (record.paused === true) await host.cgroups.freeze(cgroup)
}
