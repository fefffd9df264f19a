import type { Zone, ZoneContainer, ZoneNetwork } from '../../network/dns/zone.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord, ProjectRecords } from './records.ts'

/** The names that pak's DNS answers now; the same object until a record or a health changes. */
export function nameZone(host: LinuxHost): () => Zone {
  let zone: Zone = { networks: [] }
  let key = ''
  return () => {
    const projects = host.records.loaded()
    const now = `${host.records.version} ${unhealthy(host, projects).join(' ')}`
    if (now !== key) {
      key = now
      zone = { networks: projects.flatMap((project) => networksOf(host, project)) }
    }
    return zone
  }
}

function unhealthy(host: LinuxHost, projects: readonly ProjectRecords[]): readonly string[] {
  return projects.flatMap(({ containers }) =>
    [...containers.values()].filter((record) => !isHealthy(host, record)).map(({ id }) => id),
  )
}

const isHealthy = (host: LinuxHost, { spec, id }: ContainerRecord): boolean =>
  spec.healthcheck === null || host.healthOf(id) === 'healthy'

function networksOf(host: LinuxHost, project: ProjectRecords): readonly ZoneNetwork[] {
  const records = [...project.containers.values()]
  return [...project.networks.values()].map(({ spec }) => ({
    id: `${project.name}/${spec.name}`,
    internal: spec.internal,
    containers: records.flatMap((record) => memberOf(host, record, spec.name)),
    names: records.flatMap((record) => namesOf(record, spec.name)),
  }))
}

function memberOf(
  host: LinuxHost,
  record: ContainerRecord,
  networkName: string,
): readonly ZoneContainer[] {
  const address = record.addresses[networkName]
  if (record.run === null || address === undefined) return []
  return [
    {
      name: record.name,
      address,
      names: namesOf(record, networkName),
      healthy: isHealthy(host, record),
      servers: record.spec.dns,
    },
  ]
}

function namesOf(record: ContainerRecord, networkName: string): readonly string[] {
  const attachment = record.spec.networks.find(({ network }) => network === networkName)
  return attachment === undefined ? [] : [record.service, record.name, ...attachment.aliases]
}
