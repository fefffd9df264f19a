import { PakError } from '../../errors.ts'
import { projectAddress } from '../../model/address.ts'
import { attachmentsOf, reconnected } from '../../model/attachments.ts'
import type { FirewallArgs, Op, StepOf } from '../../model/plan.ts'
import { isForeign } from '../../model/shared.ts'
import {
  absent,
  change,
  isRunning,
  lease,
  type MemoryHost,
  type MemoryProject,
  NO_FIREWALL,
  projectOn,
} from './host.ts'
import { awaitCondition, pauseContainer, startContainer, withHealth } from './life.ts'

/**
 * What each op does to a host in memory. Stricter than a kernel would be: whatever a step stands on
 * must be there already, so that a plan with a missing need fails here and not on somebody's machine.
 */
export const HANDLERS: { readonly [O in Op]: (step: StepOf<O>, at: Place) => void } = {
  'project.create': ({ args }, { host, name }) => {
    projectOn(host, name).limits = args.limits
  },
  'project.update': ({ args }, at) => {
    const project = recorded(at)
    project.limits = args.limits
    project.drift = []
  },
  'project.remove': ({ args }, { host, name }) => removeProject(host, name, args.keepVolumes),
  'network.create': ({ args }, at) => createNetwork(args.network, at),
  'network.remove': ({ args }, at) => removeNetwork(args.network, at),
  'volume.create': ({ args }, at) => {
    const mountpoint = `/memory/${at.name}/${args.volume.name}`
    recorded(at).volumes.set(args.volume.name, { spec: args.volume, mountpoint })
  },
  'volume.remove': ({ args }, at) => {
    const project = projectOn(at.host, at.name)
    const user = usersOf(project, 'volume', args.volume)[0]
    if (user !== undefined) throw inUse('remove', `volume/${args.volume}`, user)
    project.volumes.delete(args.volume)
  },
  'container.create': (step, at) => createContainer(step, at),
  'container.start': ({ args }, at) => startContainer(args.container, recorded(at), at.host),
  'container.stop': ({ args }, at) => stopContainer(args, at),
  'container.remove': ({ args }, at) => {
    const project = projectOn(at.host, at.name)
    if (isRunning(project.containers.get(args.container))) {
      throw new PakError('conflict', `remove, \`${args.container}\`: it runs`)
    }
    project.containers.delete(args.container)
  },
  'container.update': ({ args }, at) => {
    const { container, spec, dependsOn } = args
    change(recorded(at), container, (known) => withHealth({ ...known, spec, dependsOn }, at.host))
  },
  'container.repair': ({ args }, at) => {
    change(recorded(at), args.container, (known) => ({ ...known, drift: [] }))
  },
  'container.connect': ({ args }, at) => {
    const { container, attachment } = args
    lease(recorded(at), container, attachment)
    change(recorded(at), container, (known) => ({
      ...known,
      ...reconnected(known, { connect: attachment }),
    }))
  },
  'container.disconnect': ({ args }, at) => {
    const project = recorded(at)
    change(project, args.container, (known) => ({
      ...known,
      ...reconnected(known, { disconnect: args.network }),
    }))
    project.leases.get(args.network)?.delete(args.container)
  },
  'container.kill': ({ args }, at) => stopContainer({ ...args, byUser: true }, at),
  'container.pause': ({ args }, at) => pauseContainer(args.container, 'paused', recorded(at)),
  'container.unpause': ({ args }, at) => pauseContainer(args.container, 'running', recorded(at)),
  'firewall.apply': ({ args }, at) => applyFirewall(args, at),
  'firewall.admit': ({ args, on }, at) => {
    const behind = args.services.flatMap(({ targets }) => targets)
    // Between two batches of an update that one may be behind a port which is made only with the next.
    const all = on === projectAddress(at.name) ? [...args.published, ...behind] : []
    for (const { container } of all)
      if (!recorded(at).containers.has(container)) throw absent('admit', container)
    applyFirewall(args, at)
  },
  'service.wait': ({ args }, at) => awaitCondition(args, recorded(at), at.host),
}

export interface Place {
  readonly host: MemoryHost
  /** Of the project. */
  readonly name: string
}

function recorded({ host, name }: Place): MemoryProject {
  const project = projectOn(host, name)
  if (project.limits === null) throw absent('use', `project/${name}`)
  return project
}

function applyFirewall(args: FirewallArgs, at: Place): void {
  const project = recorded(at)
  const missing = args.networks.find((name) => !project.networks.has(name))
  if (missing !== undefined) throw absent('forward to', `network/${missing}`)
  project.firewall = args
  for (const [name, network] of project.networks) {
    const services = args.services.filter((service) => service.network === name)
    const addresses = services.map(({ service }) => {
      const holder = `service:${service}`
      lease(project, holder, { network: name, ipv4: null })
      return [service, project.leases.get(name)?.get(holder) ?? ''] as const
    })
    project.networks.set(name, { ...network, services: Object.fromEntries(addresses) })
  }
}

function removeProject(host: MemoryHost, name: string, keepVolumes: boolean): void {
  const project = projectOn(host, name)
  if (project.containers.size > 0 || project.networks.size > 0) {
    throw new PakError(
      'conflict',
      `remove, \`project/${name}\`: it still has containers or networks`,
    )
  }
  project.limits = null
  project.leases.clear()
  project.firewall = NO_FIREWALL
  if (!keepVolumes || project.volumes.size === 0) host.projects.delete(name)
}

function createNetwork(spec: StepOf<'network.create'>['args']['network'], at: Place): void {
  const project = recorded(at)
  const known = project.networks.get(spec.name)
  if (known !== undefined) {
    project.networks.set(spec.name, { ...known, spec, drift: null })
    return
  }
  const taken = new Map(
    [...at.host.projects.values()].flatMap(({ networks }) =>
      [...networks.values()].map((network) => [network.subnet, network.spec.name] as const),
    ),
  )
  const subnet = spec.subnet ?? POOL.find((block) => !taken.has(block))
  if (subnet === undefined) {
    throw new PakError('subnet_taken', `create, \`network/${spec.name}\`: no subnet is left`)
  }
  const rival = taken.get(subnet)
  if (rival !== undefined) throw inUse('create', subnet, `network/${rival}`)
  const gateway = spec.gateway ?? subnet.replace(/\d+\/\d+$/, '1')
  const bridge = `pak${String(at.host.serial()).padStart(10, '0')}`
  const made = { spec, subnet, gateway, bridge, services: {}, drift: null }
  const six = spec.ipv6
  const subnet6 = six?.subnet ?? `fd00:${project.networks.size + 1}::/64`
  const ipv6 = { subnet: subnet6, gateway: six?.gateway ?? subnet6.replace(/\/\d+$/, '1') }
  project.networks.set(spec.name, six === undefined ? made : { ...made, ipv6 })
}

function removeNetwork(name: string, { host, name: projectName }: Place): void {
  const project = projectOn(host, projectName)
  const user = usersOf(project, 'network', name)[0]
  if (user !== undefined) throw inUse('remove', `network/${name}`, user)
  project.networks.delete(name)
  project.leases.delete(name)
}

interface Stop {
  readonly container: string
  readonly byUser: boolean
  readonly thenStart?: boolean
}

function createContainer({ args }: StepOf<'container.create'>, at: Place): void {
  const project = recorded(at)
  const { container, service, replica, spec, dependsOn, imageDigest } = args
  const known = project.containers.get(container)
  if (known !== undefined) throw inUse('create', container, `${known.service}/${known.replica}`)
  for (const mount of spec.mounts) {
    if (mount.kind !== 'volume' || mount.volume === null || isForeign(mount.volume)) continue
    if (!project.volumes.has(mount.volume)) throw absent('mount', `volume/${mount.volume}`)
  }
  for (const attachment of spec.networks) lease(project, container, attachment)
  project.containers.set(container, {
    name: container,
    id: String(at.host.serial()).padStart(64, '0'),
    service,
    replica,
    spec,
    dependsOn,
    imageDigest,
    status: { state: 'created' },
    restartCount: 0,
    drift: [],
    createdAt: at.host.behaviour.now(),
  })
}

function stopContainer(
  { container: name, byUser, thenStart = false }: Stop,
  { host, name: projectName }: Place,
): void {
  const project = projectOn(host, projectName)
  const known = project.containers.get(name)
  if (known === undefined || known.status.state === 'created') return
  const finishedAt = host.behaviour.now()
  const { startedAt } = known.status
  const restartAt = thenStart ? finishedAt : null
  const ended =
    known.status.state === 'stopped'
      ? { ...known.status, byUser, restartAt }
      : {
          state: 'stopped' as const,
          exitCode: 143,
          oomKilled: false,
          startedAt,
          finishedAt,
          byUser,
          restartAt,
        }
  project.containers.set(name, { ...known, status: ended, drift: [] })
}

function usersOf(
  project: MemoryProject,
  kind: 'network' | 'volume',
  name: string,
): readonly string[] {
  return [...project.containers.values()]
    .filter((container) =>
      kind === 'network'
        ? attachmentsOf(container.spec, container).some(({ network }) => network === name)
        : container.spec.mounts.some((mount) => mount.kind === 'volume' && mount.volume === name),
    )
    .map((container) => container.name)
}

/** Above the blocks that tests and examples declare. */
const POOL = Array.from({ length: 128 }, (_, index) => `10.${128 + index}.0.0/16`)

const inUse = (operation: string, object: string, by: string): PakError =>
  new PakError('conflict', `${operation}, \`${object}\`: \`${by}\` has it`)
