import { PakError } from '../../errors.ts'
import { calledBy, foreignName, isForeign, placeOf, SHARED } from '../../model/shared.ts'
import type { LinuxHost } from './host.ts'
import {
  type ContainerRecord,
  isServiceLease,
  type NetworkRecord,
  type ProjectRecords,
} from './records.ts'

/**
 * A network has one record, with its project. Its leases are by container of that project, and by
 * `<project>/<container>` of others. Whoever asks for another project sees it the other way round: under
 * `foreignName`, with its own containers by their names. So nothing else has to know whose a network is.
 */

/** Networks by the names that the specs of a project's containers have for them. Only of projects read so far. */
export function networksFor(host: LinuxHost, project: string): Map<string, NetworkRecord> {
  const found = new Map(host.records.peek(project)?.networks)
  for (const { name: owner, networks } of host.records.loaded()) {
    if (owner === project) continue
    for (const record of networks.values()) {
      if (owner !== SHARED && record.spec.attachable !== true && !holds(record, project)) continue
      const here = seenFrom(project, owner, record)
      found.set(here.spec.name, here)
    }
  }
  return found
}

/** The same records with networks of others among their own. */
export async function withJoined(host: LinuxHost, project: string): Promise<ProjectRecords> {
  const records = await host.records.of(project)
  return { ...records, networks: networksFor(host, project) }
}

/**
 * Change a network's record, whosever it is, at once: nothing of what other projects change meanwhile is
 * lost. Resolves when it is written down.
 */
export async function changeNetwork(
  host: LinuxHost,
  at: { readonly project: string; readonly network: string },
  change: (record: NetworkRecord) => NetworkRecord,
): Promise<void> {
  const { owner, name } = placeOf(at.project, at.network)
  const record = host.records.peek(owner)?.networks.get(name)
  if (record === undefined)
    throw new PakError('conflict', `network \`${calledBy(at.network)}\`: it is gone`)
  const here = change(seenFrom(at.project, owner, record))
  await host.records.putNetwork(owner, seenBack(at.project, { owner, name }, here))
}

/** A container that is on a network, and how its spec calls that. */
export interface Guest {
  readonly project: string
  readonly record: ContainerRecord
  readonly called: string
}

/** Containers of any project that have an address on a network, running or not. */
export function guestsOf(host: LinuxHost, owner: string, network: string): readonly Guest[] {
  return host.records.loaded().flatMap(({ name: project, containers }) => {
    const called = project === owner ? network : foreignName({ owner, name: network })
    return [...containers.values()].flatMap((record) =>
      Object.hasOwn(record.addresses, called) ? [{ project, record, called }] : [],
    )
  })
}

/** Give back what containers, or a whole project (`null`), hold on networks of others. */
export async function forgetLeases(
  host: LinuxHost,
  project: string,
  containers: readonly string[] | null,
): Promise<void> {
  const gone = (holder: string) =>
    !isForeign(holder) && (containers === null || containers.includes(holder))
  const held = [...networksFor(host, project).values()].filter(
    ({ spec, leases }) => isForeign(spec.name) && Object.keys(leases).some(gone),
  )
  await Promise.all(
    held.map(({ spec }) => changeNetwork(host, { project, network: spec.name }, without(gone))),
  )
}

/** Give back what one container holds on these networks, whosever they are. */
export async function forgetPlaces(
  host: LinuxHost,
  project: string,
  at: { readonly container: string; readonly networks: readonly string[] },
): Promise<void> {
  const known = networksFor(host, project)
  await Promise.all(
    at.networks
      .filter((network) => Object.hasOwn(known.get(network)?.leases ?? {}, at.container))
      .map((network) =>
        changeNetwork(
          host,
          { project, network },
          without((holder) => holder === at.container),
        ),
      ),
  )
}

const without =
  (gone: (holder: string) => boolean) =>
  ({ ipv6, ...record }: NetworkRecord): NetworkRecord => {
    const rest = (leases: NetworkRecord['leases']) =>
      Object.fromEntries(Object.entries(leases).filter(([holder]) => !gone(holder)))
    return {
      ...record,
      leases: rest(record.leases),
      ...(ipv6 === undefined ? {} : { ipv6: { ...ipv6, leases: rest(ipv6.leases) } }),
    }
  }

/** Addresses of services of all projects on a network. */
export const everyServiceAddress = ({ leases, ipv6 }: NetworkRecord): readonly string[] =>
  [...Object.entries(leases), ...Object.entries(ipv6?.leases ?? {})].flatMap(([holder, address]) =>
    isServiceLease(holder.slice(holder.indexOf('/') + 1)) ? address : [],
  )

const holds = ({ leases }: NetworkRecord, project: string): boolean =>
  Object.keys(leases).some((holder) => holder.startsWith(`${project}/`))

function seenFrom(project: string, owner: string, record: NetworkRecord): NetworkRecord {
  if (owner === project) return record
  return turned(record, foreignName({ owner, name: record.spec.name }), (holder) => {
    if (holder.startsWith(`${project}/`)) return holder.slice(project.length + 1)
    return isForeign(holder) ? holder : `${owner}/${holder}`
  })
}

function seenBack(
  project: string,
  { owner, name }: { readonly owner: string; readonly name: string },
  record: NetworkRecord,
): NetworkRecord {
  if (owner === project) return record
  return turned(record, name, (holder) => {
    if (holder.startsWith(`${owner}/`)) return holder.slice(owner.length + 1)
    return isForeign(holder) ? holder : `${project}/${holder}`
  })
}

function turned(
  { ipv6, ...record }: NetworkRecord,
  name: string,
  of: (holder: string) => string,
): NetworkRecord {
  const leases = (before: NetworkRecord['leases']) =>
    Object.fromEntries(Object.entries(before).map(([holder, address]) => [of(holder), address]))
  return {
    ...record,
    spec: { ...record.spec, name },
    leases: leases(record.leases),
    ...(ipv6 === undefined ? {} : { ipv6: { ...ipv6, leases: leases(ipv6.leases) } }),
  }
}
