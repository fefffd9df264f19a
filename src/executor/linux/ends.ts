import type { ByHand } from '../../model/attachments.ts'
import type { Attachment } from '../../model/desired.ts'
import { foremost } from '../../model/receiver.ts'
import { macAddress } from '../../network/bridge.ts'
import type { Identity } from '../../network/firewall-antispoof.ts'
import type { ContainerRecord, NetworkRecord } from './records.ts'

/** One interface of a container. */
export interface End {
  readonly network: NetworkRecord
  readonly attachment: Attachment
  /** Its name inside. */
  readonly peer: string
  readonly address: string
  readonly address6: string | null
}

/** The interfaces of a container, in the order of its networks. */
export function endsOf(
  container: Ended,
  networks: ReadonlyMap<string, NetworkRecord>,
): readonly End[] {
  const { addresses, addresses6 = {}, disconnected = [] } = container
  return peersOf(container, networks).flatMap(({ attachment, peer, isDeclared }) => {
    if (isDeclared && disconnected.includes(attachment.network)) return []
    const network = networks.get(attachment.network)
    const address = addresses[attachment.network]
    const address6 = addresses6[attachment.network] ?? null
    // What plugins make is theirs.
    return network === undefined || address === undefined || network.cni !== undefined
      ? []
      : { network, attachment, peer, address, address6 }
  })
}

type Ended = Pick<ContainerRecord, 'spec' | 'addresses' | 'addresses6'> & ByHand

/** The first name that none of its interfaces has, nor would have were it put back where it was taken off. */
export function freePeer(container: Ended, networks: ReadonlyMap<string, NetworkRecord>): string {
  const taken = new Set(peersOf(container, networks).map(({ peer }) => peer))
  for (let index = 0; ; index++) if (!taken.has(`eth${index}`)) return `eth${index}`
}

/** A name does not change with what becomes of the others. */
export const peersOf = (
  { spec, connected = [] }: Ended,
  networks: ReadonlyMap<string, NetworkRecord>,
) =>
  [
    ...spec.networks
      .filter(({ network }) => networks.has(network))
      .map((attachment) => ({ attachment, isDeclared: true })),
    ...connected.map((attachment) => ({ attachment, isDeclared: false })),
  ].map((one, index) => ({ ...one, peer: one.attachment.interfaceName ?? `eth${index}` }))

/** By what its neighbours know it there. */
export const identityOf = ({ network, attachment, address, address6 }: End): Identity => ({
  address,
  mac: attachment.mac ?? macAddress(address),
  address6: network.ipv6 === undefined ? null : address6,
})

/** The one that has the default route. */
export const outwardOf = (ends: readonly End[]): End | null =>
  foremost(
    ends
      .filter(({ network }) => !network.spec.internal)
      .map((end) => ({ ...end, end, ground: end.network.spec })),
  )?.end ?? null
