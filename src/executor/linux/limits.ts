import { PakError } from '../../errors.ts'
import type { Limits } from '../../model/limits.ts'
import type { Step } from '../../model/plan.ts'
import type { CgroupHost } from '../../runtime/cgroups.ts'
import { beyond } from '../../runtime/cpu-list.ts'
import type { PreflightRequest } from '../executor.ts'
import type { LinuxHost } from './host.ts'

/** Limits that this kernel cannot hold: refused with the reason, never skipped in silence. */
export async function unenforceable(
  host: LinuxHost,
  steps: readonly Step[],
): Promise<readonly PakError[]> {
  const wanted = new Map(steps.flatMap(limitsOf).map((limits) => [JSON.stringify(limits), limits]))
  const problems = await Promise.all(
    [...wanted.values()].map((limits) => host.cgroups.lacking(limits)),
  )
  return [...new Set(problems.flat())].map(
    (what) => new PakError('host', `limits: this host cannot enforce ${what}`),
  )
}

function limitsOf(step: Step): readonly Limits[] {
  if (step.op === 'container.create' || step.op === 'container.update')
    return [step.args.spec.limits]
  return step.op === 'project.create' || step.op === 'project.update' ? [step.args.limits] : []
}

/** What holds less than it says: on v1 the kernel writes back for everybody, from nobody's cgroup. */
export function weakLimits(
  { version }: Pick<CgroupHost, 'version'>,
  steps: readonly Step[],
): readonly string[] {
  if (version !== 1) return []
  const paths = steps
    .flatMap(limitsOf)
    .flatMap(({ io }) => io.filter(({ writeBps, writeIops }) => (writeBps ?? writeIops) !== null))
    .map(({ path }) => path)
  return [...new Set(paths)].map(
    (path) =>
      `limits: on cgroup v1 a speed of writing to \`${path}\` holds for direct and synchronous writes, not for what goes through the page cache`,
  )
}

/** What a container asks for past its project's ceiling. */
export function pastCeiling(
  host: LinuxHost,
  { desired, steps }: PreflightRequest,
): readonly PakError[] {
  if (desired === null || steps.length === 0) return []
  const { cpuMillis: ceiling, cpuset } = desired.limits
  return desired.services.flatMap(({ name, container }) => {
    const { limits } = container
    const refuse = (reason: string) =>
      new PakError('host', `limits of \`${name}\`: ${reason}`, {
        hint: 'lower the one or raise the other',
      })
    const problems: PakError[] = []
    // On v2 the lesser of both counts, v1 does not take it at all.
    if (host.cgroups.version === 1 && (limits.cpuMillis ?? 0) > (ceiling ?? Infinity)) {
      const cpu = `cpu ${(limits.cpuMillis ?? 0) / 1000} is more than the project's ${(ceiling ?? 0) / 1000}`
      problems.push(refuse(`${cpu}, which cgroup v1 does not take`))
    }
    const outside = cpuset === null ? '' : beyond(limits.cpuset ?? '', cpuset)
    if (outside !== '')
      problems.push(refuse(`cpuset ${limits.cpuset} is not within the project's ${cpuset}`))
    return problems
  })
}
