import type { Attachment } from '../../model/desired.ts'
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
export const endsOf = (
  { spec, addresses, addresses6 = {} }: Pick<ContainerRecord, 'spec' | 'addresses' | 'addresses6'>,
  networks: ReadonlyMap<string, NetworkRecord>,
): readonly End[] =>
  spec.networks
    .filter(({ network }) => networks.has(network))
    .flatMap((attachment, index) => {
      const network = networks.get(attachment.network)
      const address = addresses[attachment.network]
      const peer = attachment.interfaceName ?? `eth${index}`
      const address6 = addresses6[attachment.network] ?? null
      return network === undefined || address === undefined
        ? []
        : { network, attachment, peer, address, address6 }
    })

/** The one that has the default route: of those that lead out the first with the highest priority. */
export const outwardOf = (ends: readonly End[]): End | null =>
  ends
    .filter(({ network }) => !network.spec.internal)
    .reduce<End | null>(
      (best, end) => (best === null || priorityOf(end) > priorityOf(best) ? end : best),
      null,
    )

const priorityOf = ({ attachment }: End): number => attachment.gwPriority ?? 0
