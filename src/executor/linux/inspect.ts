import { isLan } from '../../model/network-kind.ts'
import type {
  ObservedContainer,
  ObservedFirewall,
  ObservedNetwork,
  ObservedServiceAddress,
  ObservedState,
} from '../../model/observed.ts'
import { ANY_HOST, ANY_HOST6 } from '../../model/port.ts'
import { isForeign } from '../../model/shared.ts'
import type { Publication as FirewallPort, ServiceAddress } from '../../network/firewall.ts'
import { isClosed, nameOf, type OtherChain } from '../../network/firewall-others.ts'
import { projectFirewall } from '../../network/firewall-project.ts'
import type { InspectScope } from '../executor.ts'
import { lookAtCni } from './cni-look.ts'
import { type Differences, differences, limitDrift } from './drift.ts'
import { firewallNetwork } from './firewall.ts'
import { dueHooks } from './greet.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { observePolicies, policyTableAsked } from './policies.ts'
import {
  type ContainerRecord,
  type NetworkRecord,
  type ProjectRecords,
  serviceAddresses,
} from './records.ts'
import { statusOf } from './runs.ts'
import { lookAtTunnels } from './tunnels.ts'

/** One project, from the records and from the kernel, side by side. Changes nothing. */
export async function inspectProject(host: LinuxHost, scope: InspectScope): Promise<ObservedState> {
  const records = await host.records.of(scope.project)
  const seeks = seeksDrift(scope)
  if (seeks) await Promise.all([lookAtTunnels(host), lookAtCni(host, records)])
  const drift = seeks ? differences(host, records) : NONE
  const [containers, record, firewall, images] = await Promise.all([
    Promise.all(
      byName(records.containers).map((record) => observeContainer(host, scope, { record, drift })),
    ),
    observeProject(host, records, scope),
    observePublished(host, records, scope),
    resolveImages(host, scope),
  ])
  return {
    project: scope.project,
    record,
    containers,
    networks: byName(records.networks).map((network) => observeNetwork(network, drift)),
    ...observeElsewhere(host, scope),
    volumes: byName(records.volumes).map(({ spec }) => ({
      spec,
      mountpoint: host.layout.volume(scope.project, spec.name),
    })),
    firewall,
    images,
  }
}

type Publication = Omit<FirewallPort, 'container'>

const seeksDrift = ({ only, drift }: InspectScope): boolean =>
  only !== 'containers' && drift !== false

const NONE: Differences = { networks: new Map(), containers: new Map(), ended: [] }

async function observeContainer(
  host: LinuxHost,
  scope: InspectScope,
  { record, drift }: { readonly record: ContainerRecord; readonly drift: Differences },
): Promise<ObservedContainer> {
  const { project } = scope
  const status = await statusOf(host, project, record)
  const runs = seeksDrift(scope) && status.state !== 'created' && status.state !== 'stopped'
  const limits = runs ? await limitDrift(host, project, record) : []
  return {
    name: record.name,
    id: record.id,
    service: record.service,
    replica: record.replica,
    spec: record.spec,
    dependsOn: record.dependsOn,
    imageDigest: record.imageDigest,
    status,
    restartCount: record.restartCount,
    createdAt: record.createdAt,
    addresses: record.addresses,
    ...(record.addresses6 === undefined ? {} : { addresses6: record.addresses6 }),
    ...(record.connected?.length ? { connected: record.connected } : {}),
    ...(record.disconnected?.length ? { disconnected: record.disconnected } : {}),
    drift: runs ? [...limits, ...(drift.containers.get(record.name) ?? [])] : [],
    ...(status.state === 'running' && hooksAreDue(record) ? { unfinished: true } : {}),
  }
}

/** A run that nobody had time to write down has had none of its hooks. */
const hooksAreDue = (record: ContainerRecord): boolean =>
  (record.run ?? dueHooks(record)).hooksDue === true

async function observeProject(
  host: LinuxHost,
  { project }: ProjectRecords,
  scope: InspectScope,
): Promise<ObservedState['record']> {
  if (project === null) return null
  const cgroup = host.layout.projectCgroup(scope.project)
  const drift = seeksDrift(scope) ? await host.cgroups.drift(cgroup, project.limits) : []
  return { limits: project.limits, drift }
}

function observeNetwork(record: NetworkRecord, { networks }: Differences): ObservedNetwork {
  const [door] = record.cni?.doors ?? []
  const { spec, subnet } = record
  const gateway = door?.address ?? record.gateway
  const bridge = door?.device ?? record.bridge
  const drift = networks.get(spec.name) ?? null
  const six = record.ipv6
  const ipv6 = six === undefined ? {} : { ipv6: { subnet: six.subnet, gateway: six.gateway } }
  return { spec, subnet, gateway, ...ipv6, bridge, services: serviceAddresses(record), drift }
}

/** Networks of others that this project's containers are on, or could be. */
function observeElsewhere(
  host: LinuxHost,
  { project, only }: InspectScope,
): Pick<ObservedState, 'elsewhere'> {
  if (only === 'containers') return {}
  const others = byName(networksFor(host, project)).filter(({ spec }) => isForeign(spec.name))
  return others.length === 0 ? {} : { elsewhere: others.map((one) => observeNetwork(one, NONE)) }
}

async function observePublished(
  host: LinuxHost,
  own: ProjectRecords,
  { project, only, drift }: InspectScope,
): Promise<ObservedFirewall> {
  if (only === 'containers' || own.project === null)
    return { networks: [], published: [], services: [], closed: [] }
  const records = { ...own, project: own.project, networks: networksFor(host, project) }
  const networks = [...records.networks.values()]
  const passing = networks.filter(({ spec }) => !isLan(spec))
  const { policies: planned } = records.project
  const had = networks.some((record) => Object.keys(serviceAddresses(record)).length > 0)
  const lifts = had || planned !== undefined
  const question = { lifts, policies: policyTableAsked(host, records) }
  const { table } = host.layout
  const { dnsPort } = host
  const [seen, chains] = await Promise.all([
    drift === false ? host.seenTable.known(question) : host.seenTable.look(question),
    own.networks.size === 0 ? [] : othersFor(host, drift),
  ])
  const facts = projectFirewall(seen, {
    project,
    dnsPort,
    networks: passing.filter(({ spec }) => !isForeign(spec.name)).map(firewallNetwork),
    joined: passing.filter(({ spec }) => isForeign(spec.name)).map(firewallNetwork),
  })
  const owners = new Map(
    networks.flatMap(({ leases, ipv6 }) =>
      [...Object.entries(leases), ...Object.entries(ipv6?.leases ?? {})].map(
        ([container, address]) => [address, container] as const,
      ),
    ),
  )
  const ownerOf = (address: string) => owners.get(address) ?? null
  return {
    ...(seen.fault === null ? {} : { fault: seen.fault }),
    networks: facts.networks,
    published: wholePorts(networks, facts.published).map(({ address, ...port }) => ({
      ...port,
      container: ownerOf(address),
    })),
    services: wholeServices(networks, facts.services).flatMap((found) =>
      observeAddress(networks, found, ownerOf),
    ),
    ...(planned === undefined ? {} : { policies: observePolicies(host, records, seen) }),
    closed: chains
      .filter((chain) => isClosed(chain, { table, dnsPort }))
      .map(nameOf)
      .sort(),
  }
}

const othersFor = (
  host: LinuxHost,
  drift: InspectScope['drift'],
): Promise<readonly OtherChain[]> => (drift === false ? host.others.lastSeen() : host.others.look())

/**
 * A port of all addresses has a part of each family that its container has on the network. Both are
 * told as the one port that they are; where one is missing, so is the port.
 */
function wholePorts<T extends Publication>(
  networks: readonly NetworkRecord[],
  seen: readonly T[],
): readonly T[] {
  const twins = new Map(
    networks.flatMap(({ leases, ipv6 }) =>
      Object.entries(ipv6?.leases ?? {}).map(
        ([container, six]) => [leases[container], six] as const,
      ),
    ),
  )
  const text = (port: T, at: Pick<T, 'hostIp' | 'address'>) =>
    `${at.hostIp} ${port.published} ${port.protocol} ${at.address} ${port.target} ${port.affinity}`
  const there = new Set(seen.map((port) => text(port, port)))
  const twinOf = (port: T): string | null => {
    const address = port.hostIp === ANY_HOST ? twins.get(port.address) : undefined
    return address === undefined ? null : text(port, { hostIp: ANY_HOST6, address })
  }
  const told = new Set(seen.flatMap((port) => twinOf(port) ?? []))
  return seen.filter((port) => {
    const twin = twinOf(port)
    return !told.has(text(port, port)) && (twin === null || there.has(twin))
  })
}

/** The same of a service's address: it is there when its part of IPv6 is, too. */
function wholeServices(
  networks: readonly NetworkRecord[],
  seen: readonly ServiceAddress[],
): readonly ServiceAddress[] {
  const twins = new Map<string, string>()
  for (const { leases, ipv6 } of networks)
    for (const [holder, six] of Object.entries(ipv6?.leases ?? {})) {
      const four = leases[holder]
      if (four !== undefined) twins.set(four, six)
    }
  const text = ({ bridge, address, affinity, targets }: ServiceAddress): string =>
    [bridge, address, affinity, ...[...targets].sort()].join(' ')
  const there = new Set(seen.map(text))
  const twinOf = (one: ServiceAddress): string | null => {
    const address = twins.get(one.address)
    const targets = one.targets.flatMap((target) => twins.get(target) ?? [])
    if (address === undefined || targets.length < one.targets.length) return null
    return text({ ...one, address, targets })
  }
  const told = new Set(seen.flatMap((one) => twinOf(one) ?? []))
  return seen.filter((one) => {
    const twin = twinOf(one)
    return !told.has(text(one)) && (twin === null || there.has(twin))
  })
}

/** An address that no record knows is told by itself, so that it is found and removed. */
function observeAddress(
  networks: readonly NetworkRecord[],
  { bridge, address, targets, affinity }: ServiceAddress,
  ownerOf: (address: string) => string | null,
): readonly ObservedServiceAddress[] {
  if (targets.length === 0) return []
  const network = networks.find((record) => record.bridge === bridge)
  const service = Object.entries(network === undefined ? {} : serviceAddresses(network)).find(
    ([, own]) => own === address,
  )
  return [
    {
      service: service?.[0] ?? address,
      network: network?.spec.name ?? bridge,
      affinity,
      containers: targets.map(ownerOf),
    },
  ]
}

async function resolveImages(
  host: LinuxHost,
  { images }: InspectScope,
): Promise<Readonly<Record<string, string | null>>> {
  const references = (await images?.()) ?? []
  const digests = await Promise.all(references.map((reference) => host.images.resolve(reference)))
  return Object.fromEntries(
    references.map((reference, index) => [reference, digests[index] ?? null]),
  )
}

/** Sorted by name: an observed state has one form only. */
function byName<T>(records: ReadonlyMap<string, T>): readonly T[] {
  return [...records].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record)
}
