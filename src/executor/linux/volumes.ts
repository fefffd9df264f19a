import { PakError } from '../../errors.ts'
import type { Mount, Volume } from '../../model/desired.ts'
import type { StepOf } from '../../model/plan.ts'
import {
  calledBy,
  foreignName,
  isForeign,
  type Place,
  placeOf,
  SHARED,
} from '../../model/shared.ts'
import { createVolume, removeVolume, volumeUsage } from '../../storage/volumes.ts'
import type { PreflightRequest, RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import type { ProjectRecords } from './records.ts'

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
  /** `null`: made by hand. */
  readonly project: string | null
  readonly driver: string
  readonly filesystem: string | null
  readonly sizeBytes: number | null
  readonly usedBytes: number | null
  readonly mountpoint: string
  readonly labels: Readonly<Record<string, string>>
  /** Who has it, running or not. */
  readonly containers: readonly { readonly project: string; readonly name: string }[]
}

/** Every volume under this state root, those of projects that are down included. */
export async function listVolumes(host: LinuxHost): Promise<readonly VolumeFacts[]> {
  const projects = await allRecords(host)
  return Promise.all(
    projects.flatMap(({ name: owner, volumes }) =>
      [...volumes].sort(byKey).map(async ([name, { spec }]): Promise<VolumeFacts> => {
        const mountpoint = host.layout.volume(owner, name)
        const usage = await volumeUsage(host.kernel, mountpoint)
        const project = owner === SHARED ? null : owner
        const containers = usersOf(projects, { owner, name })
        const size = { sizeBytes: null, ...usage }
        return {
          name,
          project,
          driver: 'local',
          mountpoint,
          ...size,
          labels: spec.labels,
          containers,
        }
      }),
    ),
  )
}

/** `pak volume create`: of no project, there until somebody removes it. */
export async function createVolumeByHand(host: LinuxHost, spec: Volume): Promise<void> {
  const { volumes } = await host.records.of(SHARED)
  if (volumes.has(spec.name))
    throw new PakError('conflict', `create volume \`${spec.name}\`: there is one`)
  await createVolume(host.kernel, host.layout.volume(SHARED, spec.name))
  await host.records.putVolume(SHARED, { spec })
}

/** `pak volume rm`: refused while a container of any project has it. */
export async function removeVolumeByUser(host: LinuxHost, place: Place): Promise<void> {
  const { owner, name } = place
  const what = `remove volume \`${name}\``
  if (!(await host.records.of(owner)).volumes.has(name)) {
    const where = owner === SHARED ? 'no such volume' : `no such volume in ${owner}`
    throw new PakError('not_found', `${what}: ${where}`)
  }
  const [user] = usersOf(await allRecords(host), place)
  if (user !== undefined) {
    const of = user.project === owner ? '' : ` of project ${user.project}`
    throw new PakError('conflict', `${what}: container ${user.name}${of} has it`, {
      hint: 'pak down takes the containers away, and keeps the volume',
    })
  }
  await removeVolume(host.kernel, host.layout.volume(owner, name))
  await host.records.drop(owner, 'volumes', name)
  if ((await host.records.of(owner)).project === null) await host.records.dropProject(owner)
}

/** Volumes of others that containers are to have, and that are not there. */
export async function missingVolumes(
  host: LinuxHost,
  { steps }: Pick<PreflightRequest, 'steps'>,
): Promise<readonly PakError[]> {
  const called = steps.flatMap((step) =>
    step.op === 'container.create' ? step.args.spec.mounts.flatMap(volumeOf).filter(isForeign) : [],
  )
  const found = await Promise.all(
    [...new Set(called)].map(async (name) => {
      const place = placeOf(SHARED, name)
      if ((await host.records.of(place.owner)).volumes.has(place.name)) return []
      return new PakError('not_found', `volume \`${calledBy(name)}\`: there is none`, {
        hint: await missingHint(host, place),
      })
    }),
  )
  return found.flat()
}

async function missingHint(host: LinuxHost, { owner, name }: Place): Promise<string> {
  if (owner !== SHARED) return `pak up of project ${owner} makes its volumes`
  const places = (await allRecords(host)).flatMap((project) =>
    [...project.volumes.keys()].map((volume) => ({ owner: project.name, name: volume })),
  )
  // As Compose calls them.
  const meant = places.find((place) => `${place.owner}_${place.name}` === name)
  if (meant === undefined) return `pak volume create ${name} makes it`
  return `volume ${meant.name} of project ${meant.owner} is \`${foreignName(meant)}\``
}

/** A volume goes only when nobody of another project has it. */
export async function usedVolumes(
  host: LinuxHost,
  { steps, observed: { project: owner } }: Pick<PreflightRequest, 'steps' | 'observed'>,
): Promise<readonly PakError[]> {
  const going = steps.flatMap((step) => (step.op === 'volume.remove' ? step.args.volume : []))
  if (going.length === 0) return []
  const projects = await allRecords(host)
  return going.flatMap((name) => {
    const users = usersOf(projects, { owner, name }).filter(({ project }) => project !== owner)
    if (users.length === 0) return []
    const names = users.map((user) => `${user.name} of project ${user.project}`).join(', ')
    const verb = users.length === 1 ? 'has' : 'have'
    return new PakError('conflict', `remove volume \`${name}\`: ${names} ${verb} it`, {
      hint: 'take those projects down first',
    })
  })
}

const volumeOf = (mount: Mount): readonly string[] =>
  mount.kind === 'volume' && mount.volume !== null ? [mount.volume] : []

function usersOf(projects: readonly ProjectRecords[], { owner, name }: Place) {
  return projects.flatMap(({ name: project, containers }) => {
    const called = project === owner ? name : foreignName({ owner, name })
    return [...containers.values()].flatMap((container) =>
      container.spec.mounts.flatMap(volumeOf).includes(called)
        ? [{ project, name: container.name }]
        : [],
    )
  })
}

const allRecords = async (host: LinuxHost): Promise<readonly ProjectRecords[]> =>
  Promise.all((await host.kernel.list(host.layout.projects)).map((name) => host.records.of(name)))

const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : 1
