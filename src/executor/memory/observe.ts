import type {
  ObservedPublication,
  ObservedServiceAddress,
  ObservedState,
} from '../../model/observed.ts'
import type { MemoryHost, MemoryProject } from './host.ts'

/** One project as `inspect` shows it. Changes nothing. */
export function observe(
  host: MemoryHost,
  name: string,
  images: ObservedState['images'],
): ObservedState {
  const project = host.projects.get(name)
  if (project === undefined) return { ...NOTHING, project: name, images }
  return {
    project: name,
    record: project.limits === null ? null : { limits: project.limits, drift: project.drift },
    containers: byName([...project.containers.values()], (container) => container.name).map(
      (container) => ({ ...container, addresses: addressesOf(project, container.name) }),
    ),
    networks: byName([...project.networks.values()], ({ spec }) => spec.name),
    volumes: byName([...project.volumes.values()], ({ spec }) => spec.name),
    firewall: {
      networks: project.firewall.networks,
      published: publications(project),
      services: addresses(project),
      ...(project.firewall.policies === undefined
        ? {}
        : { policies: { planned: project.firewall.policies, whole: true, counts: {} } }),
      closed: [],
    },
    images,
  }
}

const NOTHING = {
  record: null,
  containers: [],
  networks: [],
  volumes: [],
  firewall: { networks: [], published: [], services: [], closed: [] },
}

function addressesOf(project: MemoryProject, container: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...project.leases].flatMap(([network, leases]) => {
      const address = leases.get(container)
      return address === undefined ? [] : [[network, address]]
    }),
  )
}

/** A target that is nobody's address any more is shown as such. */
function publications(project: MemoryProject): readonly ObservedPublication[] {
  return project.firewall.published.map((planned) => {
    const { ipv4: _, network, ...port } = planned
    return { ...port, container: holderOf(project, network, port.container) }
  })
}

const addresses = (project: MemoryProject): readonly ObservedServiceAddress[] =>
  project.firewall.services.map(({ service, network, affinity, targets }) => ({
    service,
    network,
    affinity,
    containers: targets.map(({ container }) => holderOf(project, network, container)),
  }))

function holderOf(project: MemoryProject, network: string, container: string): string | null {
  const there = project.containers.has(container) && project.leases.get(network)?.has(container)
  return there ? container : null
}

function byName<T>(items: readonly T[], name: (item: T) => string): readonly T[] {
  return [...items].sort((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0))
}
