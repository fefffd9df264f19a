import { dirname } from 'node:path'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { forgetLeases } from './joined.ts'
import { reserveAbove } from './reservations.ts'

/** The project's record and its parent cgroup, whose limits are the ceiling for all its containers. */
export function ensureProjects(
  host: LinuxHost,
  steps: readonly (StepOf<'project.create'> | StepOf<'project.update'>)[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  return forEach(steps, context, async ({ args }) => {
    await host.cgroups.ensureParent(host.layout.projectCgroup(context.project), args.limits)
    await host.kernel.makeFolder(dirname(host.layout.log(context.project, 'any')), 0o700)
    const { project } = await host.records.of(context.project)
    await host.records.putProject(context.project, { ...project, limits: args.limits })
    await host.logs.keep(context.project)
    await reserveAbove(host, context.project)
  })
}

export function removeProjects(
  host: LinuxHost,
  steps: readonly StepOf<'project.remove'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  return forEach(steps, context, async () => {
    await host.cgroups.removeParent(host.layout.projectCgroup(context.project))
    host.logs.forget(context.project)
    await forgetLeases(host, context.project, null)
    await host.records.dropProject(context.project)
    if ((await host.records.projectNames()).length === 0)
      await host.cgroups.removeParent(`/${host.layout.cgroupParent}`)
  })
}
