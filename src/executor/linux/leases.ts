import { PakError } from '../../errors.ts'
import type { Attachment } from '../../model/desired.ts'
import { calledBy } from '../../model/shared.ts'
import { lease } from '../../network/ipam.ts'
import { lease6 } from '../../network/ipam6.ts'
import { failureOf } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { changeNetwork, networksFor } from './joined.ts'
import type { NetworkRecord } from './records.ts'
import { tunnelLeases } from './tunnels.ts'

export interface LeaseRequest {
  readonly container: string
  /** See `lease`. */
  readonly reserved?: readonly string[]
  readonly fromTop?: boolean
  readonly networks: readonly Attachment[]
}

/**
 * Addresses for many containers, with one write a network. A container that had an address in a
 * network gets it again. What cannot be leased is that request's PakError.
 */
export async function leaseAddresses(
  host: LinuxHost,
  projectName: string,
  requests: readonly LeaseRequest[],
): Promise<readonly (Readonly<Record<string, string>> | PakError)[]> {
  await host.records.of(projectName)
  const networks = networksFor(host, projectName)
  const changed = new Set<string>()
  const leased = requests.map(({ networks: attachments, ...request }) => {
    const { container } = request
    try {
      return Object.fromEntries(
        attachments.flatMap(({ network, ipv4 }) => {
          const record = networks.get(network)
          // Their plugins give them.
          if (record?.cni !== undefined) return []
          if (record === undefined)
            throw new PakError(
              'conflict',
              `lease address \`${container}\`: no network ${calledBy(network)}`,
            )
          const address = lease(leaseOf(record, { ...request, wanted: ipv4 }))
          if (record.leases[container] !== address) {
            networks.set(network, { ...record, leases: { ...record.leases, [container]: address } })
            changed.add(network)
          }
          return [[network, address] as const]
        }),
      )
    } catch (error) {
      return failureOf(error)
    }
  })
  leaseAddresses6(networks, requests, { leased, changed })
  await Promise.all(
    [...changed].map((network) => {
      const { leases = {}, ipv6 } = networks.get(network) ?? {}
      return changeNetwork(host, { project: projectName, network }, (record) => ({
        ...record,
        leases,
        ...(ipv6 === undefined ? {} : { ipv6 }),
      }))
    }),
  )
  return leased
}

/** What the file sets aside is held by a word that is no container's name. */
const auxLease = (name: string): string => `aux:${name}`

function auxLeases(spec: NetworkRecord['spec'], family: 4 | 6): Readonly<Record<string, string>> {
  const own = Object.entries(spec.auxAddresses ?? {}).filter(
    ([, address]) => address.includes(':') === (family === 6),
  )
  return Object.fromEntries(own.map(([name, address]) => [auxLease(name), address]))
}

function leaseOf<T extends object>(record: NetworkRecord, request: T) {
  const { subnet, gateway, spec } = record
  const range = spec.ipRange === undefined ? {} : { range: spec.ipRange }
  const leases = { ...record.leases, ...auxLeases(spec, 4), ...tunnelLeases(spec) }
  return { subnet, gateway, leases, ...range, ...request }
}

/** For whoever has got an IPv4 address on a network that has IPv6, too; services only where all are on this machine. */
function leaseAddresses6(
  networks: Map<string, NetworkRecord>,
  requests: readonly LeaseRequest[],
  { leased, changed }: { leased: (object | PakError)[]; changed: Set<string> },
): void {
  for (const [index, { container, networks: attachments, fromTop = false }] of requests.entries())
    for (const { network, ipv6 } of attachments) {
      const [record, answer] = [networks.get(network), leased[index]]
      if (record?.ipv6 === undefined || answer instanceof PakError) continue
      if (fromTop && record.spec.driver !== 'bridge') continue
      try {
        const address = leaseOf6(record, container, ipv6 ?? null)
        if (record.ipv6.leases[container] === address) continue
        const leases = { ...record.ipv6.leases, [container]: address }
        networks.set(network, { ...record, ipv6: { ...record.ipv6, leases } })
        changed.add(network)
      } catch (error) {
        leased[index] = failureOf(error)
      }
    }
}

function leaseOf6(record: NetworkRecord, container: string, wanted: string | null): string {
  const { ipv6, spec, subnet } = record
  const address = record.leases[container]
  if (ipv6 === undefined || address === undefined)
    throw new PakError('network', `lease address \`${container}\`: it has none of IPv4`)
  const leases = { ...ipv6.leases, ...auxLeases(spec, 6) }
  return lease6({ ...ipv6, leases, container, wanted, ipv4: { address, subnet } })
}

/** Network -> IPv6 address of a container on those of `networks` that have IPv6. */
export function addresses6Of(
  host: LinuxHost,
  projectName: string,
  { container, networks: attached }: LeaseRequest,
): Readonly<Record<string, string>> {
  const networks = networksFor(host, projectName)
  return Object.fromEntries(
    attached.flatMap(({ network }) => {
      const address = networks.get(network)?.ipv6?.leases[container]
      return address === undefined ? [] : [[network, address]]
    }),
  )
}
