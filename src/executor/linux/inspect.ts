import type {
  ObservedContainer,
  ObservedFirewall,
  ObservedNetwork,
  ObservedState,
} from '../../model/observed.ts'
import { inspectBridges } from '../../network/bridge.ts'
import { observeFirewall, projectFirewall } from '../../network/firewall-observe.ts'
import { parseCidr } from '../../network/ipv4.ts'
import type { InspectScope } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord, NetworkRecord, ProjectRecords } from './records.ts'
import { statusOf } from './runs.ts'

/** One project, from the records and from the kernel, side by side. Changes nothing. */
export async function inspectProject(host: LinuxHost, scope: InspectScope): Promise<ObservedState> {
  const records = await host.records.of(scope.project)
  const [containers, networks, firewall, images] = await Promise.all([
    Promise.all(
      byName(records.containers).map((record) => observeContainer(host, scope.project, record)),
    ),
    observeNetworks(host, records, scope),
    observePublished(host, records, scope),
    resolveImages(host, scope.images),
  ])
  return {
    project: scope.project,
    record: records.project === null ? null : { limits: records.project.limits },
    containers,
    networks,
    volumes: byName(records.volumes).map(({ spec }) => ({
      spec,
      mountpoint: host.layout.volume(scope.project, spec.name),
    })),
    firewall,
    images,
  }
}

async function observeContainer(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
): Promise<ObservedContainer> {
  return {
    name: record.name,
    id: record.id,
    service: record.service,
    replica: record.replica,
    spec: record.spec,
    dependsOn: record.dependsOn,
    imageDigest: record.imageDigest,
    status: await statusOf(host, projectName, record),
    restartCount: record.restartCount,
    createdAt: record.createdAt,
    addresses: record.addresses,
  }
}

async function observeNetworks(
  host: LinuxHost,
  records: ProjectRecords,
  { only }: InspectScope,
): Promise<readonly ObservedNetwork[]> {
  const known = byName(records.networks)
  const bridges =
    only === 'containers' || known.length === 0 ? null : await inspectBridges(host.kernel)
  const present = ({ bridge, gateway, subnet }: NetworkRecord) =>
    bridges === null ||
    bridges.some(
      ({ name, up, addresses }) =>
        name === bridge && up && addresses.includes(`${gateway}/${parseCidr(subnet).prefix}`),
    )
  return known.map((record) => ({
    spec: record.spec,
    subnet: record.subnet,
    gateway: record.gateway,
    bridge: record.bridge,
    present: present(record),
  }))
}

async function observePublished(
  host: LinuxHost,
  records: ProjectRecords,
  { project, only }: InspectScope,
): Promise<ObservedFirewall> {
  if (only === 'containers' || records.project === null) return { networks: [], published: [] }
  const facts = projectFirewall(await observeFirewall(host.kernel, host.layout.table), {
    project,
    dnsPort: host.dnsPort,
    networks: [...records.networks.values()].map(({ spec, bridge, subnet, gateway }) => ({
      name: spec.name,
      internal: spec.internal,
      bridge,
      subnet,
      gateway,
    })),
  })
  const owners = new Map(
    [...records.networks.values()].flatMap(({ leases }) =>
      Object.entries(leases).map(([container, address]) => [address, container] as const),
    ),
  )
  return {
    networks: facts.networks,
    published: facts.published.map(({ address, hostIp, published, target, protocol }) => ({
      container: owners.get(address) ?? null,
      hostIp,
      published,
      target,
      protocol,
    })),
  }
}

async function resolveImages(
  host: LinuxHost,
  references: readonly string[],
): Promise<Readonly<Record<string, string | null>>> {
  const digests = await Promise.all(references.map((reference) => host.images.resolve(reference)))
  return Object.fromEntries(
    references.map((reference, index) => [reference, digests[index] ?? null]),
  )
}

/** Sorted by name: an observed state has one form only. */
function byName<T>(records: ReadonlyMap<string, T>): readonly T[] {
  return [...records].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => record)
}
