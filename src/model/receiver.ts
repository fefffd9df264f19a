import type { Attachment, ContainerSpec } from './desired.ts'
import { byNearness } from './shared.ts'

/** How published ports can arrive by a network: from everywhere, hardly, or as its plugins do it. */
export type Reach = 'open' | 'internal' | 'cni'

/**
 * The network with the default route, where published ports arrive and answers leave; `null`: none. One of
 * pak's own that leads out comes before all that plugins make.
 * `connected`: networks that it was put on later, which come after those of its spec.
 */
export function receiverOf(
  {
    networkMode,
    networks,
    connected = [],
  }: Pick<ContainerSpec, 'networkMode' | 'networks'> & {
    readonly connected?: readonly Attachment[]
  },
  reach: (network: string) => Reach,
): string | null {
  if (networkMode.kind !== 'bridge') return null
  const sorted = [...[...networks].sort(byName), ...connected].sort(
    (a, b) => (b.gwPriority ?? 0) - (a.gwPriority ?? 0),
  )
  const first = (wanted: Reach) => sorted.find(({ network }) => reach(network) === wanted)
  return (first('open') ?? first('cni') ?? sorted[0])?.network ?? null
}

/** The network whose plugins publish the ports of a container; `null`: pak does it. */
export function pluginsReceiver(
  container: Parameters<typeof receiverOf>[0],
  reach: (network: string) => Reach,
): string | null {
  const network = receiverOf(container, reach)
  return network !== null && reach(network) === 'cni' ? network : null
}

export const reachOf = ({
  driver,
  internal,
}: {
  readonly driver: string
  readonly internal: boolean
}): Reach => {
  if (driver === 'cni') return 'cni'
  return internal ? 'internal' : 'open'
}

const byName = (a: Attachment, b: Attachment): number => byNearness(a.network, b.network)
