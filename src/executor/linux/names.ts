import { remaining } from '../../model/attachments.ts'
import { isLan } from '../../model/network-kind.ts'
import { isOneOff } from '../../model/one-off.ts'
import { foreignName, placeOf } from '../../model/shared.ts'
import type {
  Zone,
  ZoneContainer,
  ZoneNetwork,
  ZonePort,
  ZoneService,
} from '../../network/dns/zone.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { cniDns } from './name-files.ts'
import {
  type ContainerRecord,
  type NetworkRecord,
  type ProjectRecords,
  serviceAddresses,
} from './records.ts'

/** The names that pak's DNS answers now; the same object until a record or a health changes. */
export function nameZone(host: LinuxHost): () => Zone {
  let zone: Zone = { networks: [] }
  let key = ''
  return () => {
    const projects = host.records.loaded()
    const now = `${host.records.version} ${unhealthy(host, projects).join(' ')}`
    if (now !== key) {
      key = now
      zone = { networks: merged(projects.flatMap((project) => networksOf(host, project))) }
    }
    return zone
  }
}

function unhealthy(host: LinuxHost, projects: readonly ProjectRecords[]): readonly string[] {
  return projects.flatMap(({ containers }) =>
    [...containers.values()].filter((record) => !isHealthy(host, record)).map(({ id }) => id),
  )
}

const isHealthy = (host: LinuxHost, { spec, id, run }: ContainerRecord): boolean =>
  spec.healthcheck === null || host.healthOf(id, run?.startedAt ?? '') === 'healthy'

/** One entry for each network, with who is on it of every project. */
function merged(parts: readonly ZoneNetwork[]): readonly ZoneNetwork[] {
  const networks = new Map<string, ZoneNetwork>()
  for (const part of parts) {
    const known = networks.get(part.id)
    if (known === undefined) networks.set(part.id, part)
    else
      networks.set(part.id, {
        ...known,
        containers: [...known.containers, ...part.containers],
        services: [...known.services, ...part.services],
        names: [...known.names, ...part.names],
      })
  }
  return [...networks.values()]
}

/** A project's part in its own networks and in those of others. */
function networksOf(host: LinuxHost, project: ProjectRecords): readonly ZoneNetwork[] {
  const records = [...project.containers.values()]
  return [...networksFor(host, project.name).values()].map((network) => ({
    id: foreignName(placeOf(project.name, network.spec.name)),
    internal: network.spec.internal,
    gateways: gatewaysOf(network),
    ...peersOf(network),
    containers: records.flatMap((record) =>
      memberOf(host, record, network).map((member) => ({ ...member, project: project.name })),
    ),
    services: servicesOf(host, records, network),
    names: records.flatMap((record) => [
      ...namesOf(record, network, 'service'),
      ...namesOf(record, network, 'container'),
    ]),
  }))
}

/** This host's addresses there. */
function gatewaysOf({ spec, gateway, ipv6, cni }: NetworkRecord): readonly string[] {
  if (isLan(spec)) return []
  if (cni !== undefined) return [...new Set(cni.doors.map(({ address }) => address))]
  return [gateway, ...(ipv6 === undefined ? [] : [ipv6.gateway])]
}

function peersOf({ spec: { overlay } }: NetworkRecord): Pick<ZoneNetwork, 'peers'> {
  if (overlay === undefined) return {}
  const others = overlay.peers.filter(({ name }) => name !== overlay.host)
  return { peers: others.map(({ gateway, range }) => ({ gateway, range })) }
}

function memberOf(
  host: LinuxHost,
  record: ContainerRecord,
  network: NetworkRecord,
): readonly ZoneContainer[] {
  const address = record.addresses[network.spec.name]
  if (record.run === null || address === undefined) return []
  const own = namesOf(record, network, 'container')
  return [
    {
      name: record.name,
      address,
      ...addressed6(record, network),
      names: standsBehind(record, network) ? own : [...own, ...namesOf(record, network, 'service')],
      healthy: isHealthy(host, record),
      ports: portsOf(record),
      servers: serversFor(record, network),
    },
  ]
}

/** What plugins say is asked for names from outside: within the network pak knows best. */
function serversFor(record: ContainerRecord, { cni }: NetworkRecord): readonly string[] {
  const { dns } = record.spec
  if (cni === undefined || dns.length > 0) return dns
  const own = new Set(cni.doors.map(({ address }) => address))
  return cniDns(record).nameservers.filter((server) => !own.has(server))
}

function addressed6(
  { addresses6 = {} }: ContainerRecord,
  { spec }: NetworkRecord,
): Pick<ZoneContainer, 'address6'> {
  const address6 = addresses6[spec.name]
  return address6 === undefined ? {} : { address6 }
}

/** The service's name means an address in front of it. What was run once is no part of its service. */
const standsBehind = ({ service, spec }: ContainerRecord, network: NetworkRecord): boolean =>
  !isOneOff(spec) && Object.hasOwn(serviceAddresses(network), service)

function servicesOf(
  host: LinuxHost,
  records: readonly ContainerRecord[],
  network: NetworkRecord,
): readonly ZoneService[] {
  return Object.entries(serviceAddresses(network)).flatMap(([name, address]) => {
    const members = records.filter(
      (record) => record.service === name && record.run !== null && standsBehind(record, network),
    )
    const names = members.flatMap((record) => namesOf(record, network, 'service'))
    if (names.length === 0) return []
    const ports = members.flatMap(portsOf)
    const healthy = members.some((record) => isHealthy(host, record))
    const address6 = serviceAddresses({ leases: network.ipv6?.leases ?? {} })[name]
    const six = address6 === undefined ? {} : { address6 }
    return [{ name, address, ...six, names: [...new Set(names)], ports, healthy }]
  })
}

/** What it publishes and what it exposes: `80`, `80/udp` or `80-90`, of which a range has no record. */
function portsOf({ spec }: ContainerRecord): readonly ZonePort[] {
  const exposed = spec.expose.flatMap((text): ZonePort[] => {
    const [, port, protocol = 'tcp'] = /^(\d{1,5})(?:\/([a-z]+))?$/.exec(text) ?? []
    return port === undefined ? [] : [{ port: Number(port), protocol }]
  })
  const published = spec.ports.map(({ target, protocol }) => ({ port: target, protocol }))
  const all = [...published, ...exposed]
  return [...new Map(all.map((each) => [`${each.port}/${each.protocol}`, each])).values()]
}

/** `service`: what all replicas share. `container`: what leads to containers themselves, as in a swarm. */
function namesOf(
  record: ContainerRecord,
  { spec: { name: networkName } }: NetworkRecord,
  of: 'service' | 'container',
): readonly string[] {
  const { name, service, spec, connected = [] } = record
  // Who was put there by hand is nobody's replica there: it answers as itself, as with Docker.
  const byHand = connected.find(({ network }) => network === networkName)
  if (byHand !== undefined) return of === 'service' ? [] : [name, ...byHand.aliases]
  const attachment = remaining(spec, record).find(({ network }) => network === networkName)
  if (attachment === undefined) return []
  return of === 'service' ? [service, ...attachment.aliases] : [name, `tasks.${service}`]
}
