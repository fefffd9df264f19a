import { attachmentsOf } from '../../model/attachments.ts'
import { kindOf } from '../../model/network-kind.ts'
import type { ContainerRecord, NetworkRecord } from './records.ts'

type Attached = Pick<ContainerRecord, 'spec' | 'connected' | 'disconnected' | 'cni'>

/**
 * This host's own address on each of a container's networks, in their order: there it is asked for names,
 * and reaches the container. It has none on a LAN, nor where plugins gave it none.
 */
export const hostAddresses = (
  record: Attached,
  networks: ReadonlyMap<string, NetworkRecord>,
): ReadonlyMap<string, string> =>
  new Map(
    attachmentsOf(record.spec, record).flatMap(({ network }) => {
      const known = networks.get(network)
      const address = known === undefined ? null : addressOn(record, known)
      return address === null ? [] : [[network, address] as const]
    }),
  )

function addressOn({ cni = {} }: Attached, { spec, gateway }: NetworkRecord): string | null {
  const kind = kindOf(spec)
  if (kind === 'lan') return null
  return kind === 'cni' ? (cni[spec.name]?.door?.address ?? null) : gateway
}
