import { PakError } from '../../errors.ts'
import { isLan } from '../../model/network-kind.ts'
import type { StepArgs } from '../../model/plan.ts'
import { isForeign } from '../../model/shared.ts'
import type { ContainerStatus } from '../../model/status.ts'
import {
  absent,
  change,
  isRunning,
  type MemoryContainer,
  type MemoryHost,
  type MemoryProject,
} from './host.ts'

/** Run it; what ends by itself has ended when this returns. Running already is success. */
export function startContainer(name: string, project: MemoryProject, host: MemoryHost): void {
  const known = project.containers.get(name)
  if (known === undefined) throw absent('start', name)
  if (isRunning(known)) return
  checkGround(known, project)
  const { now, exits, health } = host.behaviour
  const startedAt = now()
  const exitCode = exits(known)
  const status: ContainerStatus =
    exitCode === null
      ? {
          state: 'running',
          pid: 1000 + host.serial(),
          startedAt,
          health: known.spec.healthcheck === null ? null : health(known),
        }
      : ended(startedAt, { exitCode, finishedAt: now() })
  change(project, name, (container) => ({ ...container, status }))
}

/** A check that a running container was given has its say at once, and one that was taken away none any more. */
export function withHealth(container: MemoryContainer, host: MemoryHost): MemoryContainer {
  const { status, spec } = container
  if (status.state !== 'running' && status.state !== 'paused') return container
  if ((spec.healthcheck === null) === (status.health === null)) return container
  const health = spec.healthcheck === null ? null : host.behaviour.health(container)
  return { ...container, status: { ...status, health } }
}

/** Or let it go on; what is so already is success. */
export function pauseContainer(
  name: string,
  state: 'paused' | 'running',
  project: MemoryProject,
): void {
  change(project, name, (known) => {
    if (known.status.state !== 'running' && known.status.state !== 'paused')
      throw new PakError('conflict', `pause, \`${name}\`: it does not run`)
    return { ...known, status: { ...known.status, state } }
  })
}

/** Networks up, volumes there, ports and networks known to the firewall, lenders of namespaces running. */
function checkGround({ name, spec }: MemoryContainer, project: MemoryProject): void {
  for (const { network } of spec.networks) {
    if (isForeign(network)) continue
    const known = project.networks.get(network)
    if (known === undefined || known.drift !== null) throw absent('attach', `network/${network}`)
    if (!isLan(known.spec) && !project.firewall.networks.includes(network)) {
      throw new PakError('network', `start, \`${name}\`: the firewall does not know \`${network}\``)
    }
  }
  for (const mount of spec.mounts) {
    if (mount.kind !== 'volume' || mount.volume === null || isForeign(mount.volume)) continue
    if (!project.volumes.has(mount.volume)) throw absent('mount', `volume/${mount.volume}`)
  }
  for (const mode of [spec.networkMode, spec.pidMode, spec.ipcMode]) {
    if (mode?.kind !== 'service') continue
    const lender = [...project.containers.values()].find(
      ({ service, replica }) => service === mode.service && replica === 1,
    )
    if (!isRunning(lender)) throw absent('join', `service/${mode.service}/1`)
  }
}

/** Time passes at once here: what can become true has, what cannot is an error. */
export function awaitCondition(
  { containers, condition }: StepArgs['service.wait'],
  project: MemoryProject,
  host: MemoryHost,
): void {
  for (const name of containers) {
    const known = project.containers.get(name)
    if (known === undefined) throw absent('wait for', name)
    if (condition === 'service_updated' && hasCompleted(known)) continue
    if (condition !== 'service_completed_successfully') awaitHealth(known, project, host)
    else awaitEnd(known, project, host)
  }
}

const hasCompleted = ({ status }: MemoryContainer): boolean =>
  status.state === 'stopped' && status.exitCode === 0

function awaitHealth(known: MemoryContainer, project: MemoryProject, host: MemoryHost): void {
  const { status, name, spec } = known
  if (status.state !== 'running')
    throw new PakError('exited', `wait for, \`${name}\`: it does not run`)
  if (spec.healthcheck === null) return
  const told = host.behaviour.health(known)
  const health = told === 'starting' ? 'healthy' : told
  change(project, name, (container) => ({ ...container, status: { ...status, health } }))
  if (health === 'unhealthy')
    throw new PakError('unhealthy', `wait for, \`${name}\`: it is unhealthy`)
}

function awaitEnd(
  { status, name }: MemoryContainer,
  project: MemoryProject,
  host: MemoryHost,
): void {
  if (status.state === 'running' || status.state === 'paused') {
    const end = ended(status.startedAt, { exitCode: 0, finishedAt: host.behaviour.now() })
    change(project, name, (container) => ({ ...container, status: end }))
    return
  }
  if (status.state === 'stopped' && status.exitCode === 0) return
  throw new PakError('exited', `wait for, \`${name}\`: it did not complete`)
}

/** The status of a container that ended by itself. */
export function ended(
  startedAt: string,
  how: {
    readonly exitCode: number
    readonly finishedAt: string
    readonly oomKilled?: boolean
    readonly restartAt?: string | null
  },
): ContainerStatus {
  const { exitCode, finishedAt, oomKilled = false, restartAt = null } = how
  return { state: 'stopped', exitCode, oomKilled, startedAt, finishedAt, byUser: false, restartAt }
}
