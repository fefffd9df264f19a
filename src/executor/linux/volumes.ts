import { PakError } from '../../errors.ts'
import type { StepOf } from '../../model/plan.ts'
import { createVolume, removeVolume, volumeUsage } from '../../storage/volumes.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'

export function createVolumes(
  host: LinuxHost,
  steps: readonly StepOf<'volume.create'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  return forEach(steps, context, async ({ args }) => {
    await createVolume(host.kernel, host.layout.volume(context.project, args.volume.name))
    await host.records.putVolume(context.project, { spec: args.volume })
  })
}

export function removeVolumes(
  host: LinuxHost,
  steps: readonly StepOf<'volume.remove'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  return forEach(steps, context, async ({ args }) => {
    await removeVolume(host.kernel, host.layout.volume(context.project, args.volume))
    await host.records.drop(context.project, 'volumes', args.volume)
  })
}

export interface VolumeFacts {
  readonly name: string
  readonly project: string
  readonly driver: string
  readonly filesystem: string | null
  readonly sizeBytes: number | null
  readonly usedBytes: number | null
  readonly mountpoint: string
}

/** Every volume under this state root, those of projects that are down included. */
export async function listVolumes(host: LinuxHost): Promise<readonly VolumeFacts[]> {
  const projects = await Promise.all(
    (await host.kernel.list(host.layout.projects)).map((name) => host.records.of(name)),
  )
  return Promise.all(
    projects.flatMap(({ name: project, volumes }) =>
      [...volumes.keys()].sort().map(async (name) => {
        const mountpoint = host.layout.volume(project, name)
        const usage = await volumeUsage(host.kernel, mountpoint)
        return { name, project, driver: 'local', sizeBytes: null, mountpoint, ...usage }
      }),
    ),
  )
}

/** `pak volume rm`: refused while a container has it. */
export async function removeVolumeByUser(
  host: LinuxHost,
  projectName: string,
  volumeName: string,
): Promise<void> {
  const { containers, volumes } = await host.records.of(projectName)
  if (!volumes.has(volumeName))
    throw new PakError(
      'not_found',
      `remove volume \`${volumeName}\`: no such volume in ${projectName}`,
    )
  const user = [...containers.values()].find(({ spec }) =>
    spec.mounts.some((mount) => mount.kind === 'volume' && mount.volume === volumeName),
  )
  if (user !== undefined)
    throw new PakError(
      'conflict',
      `remove volume \`${volumeName}\`: container ${user.name} has it`,
      {
        hint: 'pak down takes the containers away, and keeps the volume',
      },
    )
  await removeVolume(host.kernel, host.layout.volume(projectName, volumeName))
  await host.records.drop(projectName, 'volumes', volumeName)
  if ((await host.records.of(projectName)).project === null)
    await host.records.dropProject(projectName)
}
