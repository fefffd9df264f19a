import { staysAlive } from '../../kernel/process.ts'
import { attachmentsOf } from '../../model/attachments.ts'
import { isRouted } from '../../model/lan.ts'
import { isBridged, isLan, kindOf } from '../../model/network-kind.ts'
import type { Drift } from '../../model/observed.ts'
import { linkGroup } from '../../network/bridge.ts'
import {
  bridgeDrift,
  bridgeDrift6,
  defaultRoute,
  hasAddress6,
  hasDefaultRoute6,
  type NetworkView,
  portDrift,
  portsOf,
  readNetwork,
} from '../../network/view.ts'
import { cniDrift } from './cni-look.ts'
import { type End, endsOf, outwardOf } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { hostEnd } from './host-ends.ts'
import { everyServiceAddress, networksFor } from './joined.ts'
import { parentDrift } from './lan.ts'
import { childFacts } from './lan-ends.ts'
import { lostMounts, mayDo } from './lost-mounts.ts'
import { lostMonitor } from './monitors.ts'
import type { ContainerRecord, NetworkRecord, ProjectRecords, Run } from './records.ts'
import { isOutOfReach } from './resolvers.ts'
import { containerSubject, networksSubject, type Soundness } from './soundness.ts'
import { mtuOf, tunnelDrift } from './tunnels.ts'

/** What is not as pak made it, by name. Made of plain reads that never wait: cheap enough for a timer. */
export interface Differences {
  readonly networks: ReadonlyMap<string, string>
  /** Of the containers that run. Limits are not here: see `limitDrift`. */
  readonly containers: ReadonlyMap<string, readonly Drift[]>
  /** Containers whose run has ended, and nobody has written that down yet. */
  readonly ended: readonly string[]
}

/** With `soundness`, containers of which nothing new is said are not looked at. */
export function differences(
  host: LinuxHost,
  records: ProjectRecords,
  soundness: Soundness | null = null,
): Differences {
  const running = [...records.containers.values()].flatMap((record) =>
    record.run === null ? [] : { record, run: record.run },
  )
  const ground = groundOf(host, records, soundness)
  const ended: string[] = []
  return {
    ended,
    networks: new Map([...ground.broken].filter(([name]) => records.networks.has(name))),
    containers: new Map(
      running.flatMap((one) => {
        const look = () => {
          if (staysAlive(host.kernel, one.run))
            return containerDrift(host, one, { project: records.name, ground })
          ended.push(one.record.name)
          return null
        }
        const drift =
          soundness === null
            ? look()
            : soundness.check(host, containerSubject(host, one), ground.ports, look)
        return drift === null || drift.length === 0 ? [] : [[one.record.name, drift] as const]
      }),
    ),
  }
}

function containerDrift(
  host: LinuxHost,
  { record, run }: Running,
  { project, ground }: { readonly project: string; readonly ground: Ground },
): readonly Drift[] {
  return [
    ...strayDrift(host, project, { record, run }),
    ...thawDrift(host, project, record),
    ...wiringDrift(host, { record, run }, ground),
    ...cniDrift(host, record),
    ...lostMounts(host, record, run).map((fact): Drift => ({ of: 'mounts', fact })),
    ...lostMonitor(host, record).map((fact): Drift => ({ of: 'monitor', fact })),
  ]
}

interface Running {
  readonly record: ContainerRecord
  readonly run: Run
}

/** What somebody wrote into the files of a running container's cgroup. */
export async function limitDrift(
  host: LinuxHost,
  projectName: string,
  { name, spec }: ContainerRecord,
): Promise<readonly Drift[]> {
  const facts = await host.cgroups.drift(host.layout.cgroup(projectName, name), spec.limits)
  return facts.map((fact) => ({ of: 'limits', fact }))
}

interface Ground {
  readonly networks: ReadonlyMap<string, NetworkRecord>
  readonly broken: ReadonlyMap<string, string>
  /** Network -> host ends that hang on its bridge. */
  readonly ports: ReadonlyMap<string, ReadonlySet<string>>
}

function groundOf(
  host: LinuxHost,
  { name: project, networks: own, containers }: ProjectRecords,
  soundness: Soundness | null,
) {
  const used = new Set([...containers.values()].flatMap(({ addresses }) => Object.keys(addresses)))
  const all = networksFor(host, project)
  const networks = new Map([...all].filter(([name]) => own.has(name) || used.has(name)))
  const ports = new Map<string, ReadonlySet<string>>()
  for (const [name, record] of networks)
    if (isBridged(record.spec)) ports.set(name, portsOf(host.kernel, record.bridge))
  const look = () => brokenOf(host, networks)
  const subject = networksSubject(project, [...networks.values()])
  const broken = soundness === null ? look() : soundness.check(host, subject, ports, look)
  return { networks, broken: new Map(broken), ports } satisfies Ground
}

/** By name, what is wrong with each. */
function brokenOf(host: LinuxHost, networks: ReadonlyMap<string, NetworkRecord>) {
  const view = networks.size === 0 ? null : readNetwork(host.kernel, 'self')
  if (view === null) return []
  return [...networks].flatMap(([name, record]) => {
    const fact = formDrift(host, view, record)
    return fact === null ? [] : [[name, fact] as const]
  })
}

function formDrift(host: LinuxHost, view: NetworkView, record: NetworkRecord): string | null {
  const kind = kindOf(record.spec)
  // Plugins are asked of each container: see `cniDrift`.
  if (kind === 'cni') return null
  if (kind === 'lan') return parentDrift(host, record)
  const all = everyServiceAddress(record)
  const services = all.filter((address) => !address.includes(':'))
  const fact = bridgeDrift(host.kernel, view, { ...record, services, mtu: mtuOf(record) })
  if (fact !== null) return fact
  const tunnel = tunnelDrift(host, view, record)
  if (tunnel !== null || record.ipv6 === undefined) return tunnel
  const services6 = all.filter((address) => address.includes(':'))
  return bridgeDrift6(host.kernel, record.bridge, [record.ipv6.gateway, ...services6])
}

function strayDrift(
  host: LinuxHost,
  projectName: string,
  { record, run }: Running,
): readonly Drift[] {
  const cgroup = host.layout.cgroup(projectName, record.name)
  const place = host.cgroups.strayed(cgroup, run.pid)
  if (place === null) return []
  return [
    { of: 'process', fact: `process ${run.pid} was in cgroup ${place}, should be in ${cgroup}` },
  ]
}

function thawDrift(
  { cgroups, layout }: LinuxHost,
  projectName: string,
  { name, paused }: ContainerRecord,
): readonly Drift[] {
  if (paused !== true || cgroups.isFrozen(layout.cgroup(projectName, name))) return []
  return [{ of: 'process', fact: 'it was running, should be paused' }]
}

/** What is wrong with a bridge is the network's: what follows from it for a container is not told again. */
function wiringDrift(host: LinuxHost, { record, run }: Running, ground: Ground): readonly Drift[] {
  if (record.spec.networkMode.kind !== 'bridge') return []
  const attached = attachmentsOf(record.spec, record).flatMap(
    ({ network }) => ground.networks.get(network) ?? [],
  )
  const bridged = attached.filter(({ spec }) => isBridged(spec) && !ground.broken.has(spec.name))
  const facts = bridged.flatMap(({ spec, bridge }) => {
    const address = record.addresses[spec.name]
    if (address === undefined) return []
    const port = {
      host: hostEnd(host, record, { network: spec.name, pid: run.pid }),
      bridge,
      group: linkGroup(address),
    }
    return portDrift(host.kernel, port, ground.ports.get(spec.name) ?? new Set()) ?? []
  })
  const found = facts.length > 0 ? facts : insideFacts(host, { record, run }, ground)
  return found.map((fact) => ({ of: 'network', fact }))
}

/** Who may administer its own network does so with pak's blessing. */
function insideFacts(
  host: LinuxHost,
  { record, run }: Running,
  { networks, broken }: Ground,
): readonly string[] {
  const view = mayDo(record.spec, 'NET_ADMIN') ? null : readNetwork(host.kernel, run.pid)
  if (view === null) return []
  const all = endsOf(record, networks)
  const ends = all.filter(({ network: { spec } }) => !isLan(spec) || !broken.has(spec.name))
  const gone = childFacts(host, ends, run.pid)
  if (gone.length > 0) return gone
  if (isOutOfReach(record, networks) && !host.resolvers.isOpen(record.id, run.pid))
    return ['its name server did not run']
  const lost = ends.flatMap(({ peer, address, address6 }) => [
    ...(view.addresses.has(address) ? [] : [`${peer} lost its address ${address}`]),
    ...(address6 === null || hasAddress6(host.kernel, run.pid, address6)
      ? []
      : [`${peer} lost its address ${address6}`]),
  ])
  if (lost.length > 0) return lost
  const way = wayOut(all, view)
  const [fact] = [way, wayOut6(host, run.pid, all)].filter(
    (gone) => gone !== null && ends.includes(gone.end),
  )
  return fact == null ? [] : [`the default route ${fact.by} was gone`]
}

interface LostWay {
  readonly end: End
  /** For a reader. */
  readonly by: string
}

/** The default route that is not there; `null`: it is, or there should be none. */
function wayOut(all: readonly End[], { routes }: NetworkView): LostWay | null {
  const end = outwardOf(all)
  if (end === null) return null
  const { gateway, spec } = end.network
  const [way, by] = isRouted(spec) ? ['0.0.0.0', `by ${end.peer}`] : [gateway, `by ${gateway}`]
  return routes.has(defaultRoute(end.peer, way)) ? null : { end, by }
}

/** The same of IPv6, by a router. */
function wayOut6({ kernel }: LinuxHost, pid: number, all: readonly End[]): LostWay | null {
  const end = outwardOf(all.filter(({ address6 }) => address6 !== null))
  const gateway = end?.network.ipv6?.gateway
  if (end === null || gateway === undefined || isRouted(end.network.spec)) return null
  return hasDefaultRoute6(kernel, pid, { device: end.peer, gateway })
    ? null
    : { end, by: `by ${gateway}` }
}
