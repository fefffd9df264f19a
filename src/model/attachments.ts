import type { Attachment, ContainerSpec } from './desired.ts'

/** What a user did to a container's networks with `pak network connect` and `disconnect`. It goes with the container. */
export interface ByHand {
  /** Besides those of its spec, or in place of one; each has an interface of its own name. */
  readonly connected?: readonly Attachment[]
  /** Of those of its spec. */
  readonly disconnected?: readonly string[]
}

/** Of the file's networks those that the container is still on. */
export const remaining = (
  { networks }: Pick<ContainerSpec, 'networks'>,
  { disconnected = [] }: ByHand,
): readonly Attachment[] => networks.filter(({ network }) => !disconnected.includes(network))

/** Every network that the container is on, those of its file first. */
export const attachmentsOf = (
  spec: Pick<ContainerSpec, 'networks'>,
  hand: ByHand,
): readonly Attachment[] => [...remaining(spec, hand), ...(hand.connected ?? [])]

/** What a user wants of a container's networks. */
export type Connection = { readonly connect: Attachment } | { readonly disconnect: string }

/** What a user has done to it after that, too. */
export function reconnected(
  container: ByHand & { readonly spec: Pick<ContainerSpec, 'networks'> },
  wanted: Connection,
): Required<ByHand> {
  const { spec, connected = [], disconnected = [] } = container
  if ('connect' in wanted) {
    const { connect } = wanted
    const declared = spec.networks.find(({ network }) => network === connect.network)
    // Back on it, as the file has it.
    if (declared !== undefined && same(declared, connect))
      return { connected, disconnected: disconnected.filter((name) => name !== connect.network) }
    return { connected: [...connected, connect], disconnected }
  }
  const network = wanted.disconnect
  const left = connected.filter((one) => one.network !== network)
  if (left.length < connected.length) return { connected: left, disconnected }
  return { connected, disconnected: [...disconnected, network].sort() }
}

const same = (a: Attachment, b: Attachment): boolean => textOf(a) === textOf(b)

const textOf = ({ network, aliases, ipv4, ipv6, mac, interfaceName, gwPriority }: Attachment) =>
  JSON.stringify([network, aliases, ipv4, ipv6, mac, interfaceName, gwPriority])
