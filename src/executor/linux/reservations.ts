import type { Limits } from '../../model/limits.ts'
import type { LinuxHost } from './host.ts'
import type { ProjectRecords } from './records.ts'

/**
 * On cgroup v2 memory is reserved for a container only as far as its parents have it reserved too: a
 * project has what its containers have together unless it says its own, and pak's root what all
 * projects have. Call it when that may have changed; v1 knows no such thing.
 */
export async function reserveAbove(host: LinuxHost, projectName: string): Promise<void> {
  if (host.cgroups.version === 1) return
  const own = reservedBy(await host.records.of(projectName))
  await host.cgroups.reserve(host.layout.projectCgroup(projectName), own)
  const all = host.records.loaded().reduce((sum, records) => sum + reservedBy(records), 0)
  await host.cgroups.reserve(`/${host.layout.cgroupParent}`, all)
}

export const reserves = ({ memoryReservationBytes }: Limits): boolean =>
  memoryReservationBytes !== null

function reservedBy({ project, containers }: ProjectRecords): number {
  const reserved = [...containers.values()].map(
    ({ spec }) => spec.limits.memoryReservationBytes ?? 0,
  )
  const together = reserved.reduce((sum, bytes) => sum + bytes, 0)
  return project?.limits.memoryReservationBytes ?? together
}
