import type { DesiredState, Network, Service } from '../model/desired.ts'
import { OPEN_GROUND, receiverOf } from '../model/receiver.ts'
import { compare } from './context.ts'
import { renamed } from './external.ts'
import { DEFAULT_NETWORK } from './networks.ts'
import type { Draft, ServiceDraft } from './normalize.ts'

/**
 * The services that are there: those without a profile, with one that is on, and those asked for by
 * name; of these, what runs on this machine.
 */
export function enabledServices(
  services: readonly ServiceDraft[],
  options: {
    readonly profiles: readonly string[]
    readonly named: readonly string[]
    /** What this machine is called among peers. */
    readonly hosts: ReadonlySet<string>
  },
): readonly ServiceDraft[] {
  const on = new Set(options.profiles)
  for (const { service, profiles } of services)
    if (options.named.includes(service.name)) for (const profile of profiles) on.add(profile)
  return services.filter(
    ({ profiles, hosts }) =>
      (profiles.length === 0 || on.has('*') || profiles.some((profile) => on.has(profile))) &&
      (hosts.length === 0 || hosts.some((host) => options.hosts.has(host))),
  )
}

/** What this machine is called in the networks that it shares with others. */
export const hostsOf = ({ networks }: Draft): ReadonlySet<string> =>
  new Set(networks.flatMap(({ value }) => value.overlay?.host ?? []))

/** Service -> machines that it runs on, of which this is none. */
export function elsewhereIn(draft: Draft): ReadonlyMap<string, readonly string[]> {
  const here = hostsOf(draft)
  return new Map(
    draft.services.flatMap(({ service, hosts }) =>
      hosts.length === 0 || hosts.some((host) => here.has(host)) ? [] : [[service.name, hosts]],
    ),
  )
}

/** A checked draft as what should be. Networks and volumes that nothing uses are left out, as Compose does. */
export function toDesired(
  draft: Draft,
  enabled: readonly ServiceDraft[],
  project: string,
): DesiredState {
  const names = new Set(enabled.map(({ service }) => service.name))
  const targets = (externals: Draft['externals']) =>
    new Map(externals.map(({ value }) => [value.name, value.target]))
  const renaming = { network: targets(draft.externals), volume: targets(draft.externalVolumes) }
  const services = enabled
    .map(({ service }) => renamed(withoutAbsent(service, names), renaming))
    .sort((a, b) => compare(a.name, b.name))
  const networks = new Map(draft.networks.map(({ value }) => [value.name, value]))
  const usedNetworks = used(
    services.flatMap(({ container }) => container.networks.map(({ network }) => network)),
  )
  const usedVolumes = new Set(services.flatMap(({ container }) => container.mounts.map(volumeOf)))
  return {
    project,
    limits: draft.limits,
    drift: draft.drift,
    services,
    networks: usedNetworks.flatMap((name) => {
      const network = networks.get(name) ?? (name === DEFAULT_NETWORK ? PLAIN_DEFAULT : null)
      return network === null ? [] : [network]
    }),
    volumes: draft.volumes.flatMap(({ value }) => (usedVolumes.has(value.name) ? [value] : [])),
  }
}

/** What is declared, but nothing uses it. */
export function unusedWarnings(draft: Draft): readonly string[] {
  const specs = draft.services.map(({ service }) => service.container)
  const networks = new Set(specs.flatMap((spec) => spec.networks.map(({ network }) => network)))
  const volumes = new Set(specs.flatMap((spec) => spec.mounts.map(volumeOf)))
  const say = (kind: string, name: string) =>
    `${kind} \`${name}\` is declared, but no service uses it`
  return [
    ...[...draft.networks, ...draft.externals].flatMap(({ value }) =>
      networks.has(value.name) ? [] : [say('network', value.name)],
    ),
    ...[...draft.volumes, ...draft.externalVolumes].flatMap(({ value }) =>
      volumes.has(value.name) ? [] : [say('volume', value.name)],
    ),
  ]
}

/** Ports that nobody can reach from other machines, as they arrive at an internal network. */
export function portWarnings(draft: Draft, enabled: readonly ServiceDraft[]): readonly string[] {
  const declared = new Map(draft.networks.map(({ value }) => [value.name, value]))
  return enabled.flatMap(({ service: { name, container } }) => {
    const network = receiverOf(container, (each) => declared.get(each) ?? OPEN_GROUND)
    if (container.ports.length === 0 || declared.get(network ?? '')?.internal !== true) return []
    return `ports of \`${name}\` are reached from this machine only: network \`${network}\` is internal`
  })
}

const PLAIN_DEFAULT: Network = {
  name: DEFAULT_NETWORK,
  driver: 'bridge',
  internal: false,
  subnet: null,
  gateway: null,
  labels: {},
}

function used(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort(compare)
}

function volumeOf(mount: Service['container']['mounts'][number]): string | null {
  return mount.kind === 'volume' ? mount.volume : null
}

/** A dependency that need not be there and is not there means nothing. */
function withoutAbsent(service: Service, names: ReadonlySet<string>): Service {
  return {
    ...service,
    dependsOn: service.dependsOn.filter((dependency) => names.has(dependency.service)),
  }
}
