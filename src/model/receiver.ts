import type { Attachment, ContainerSpec } from './desired.ts'
import { byNearness } from './shared.ts'

/**
 * The network with the default route, where published ports arrive and answers leave; `null`: none.
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
  internal: (network: string) => boolean,
): string | null {
  if (networkMode.kind !== 'bridge') return null
  const sorted = [...[...networks].sort(byName), ...connected].sort(
    (a, b) => (b.gwPriority ?? 0) - (a.gwPriority ?? 0),
  )
  return (sorted.find(({ network }) => !internal(network)) ?? sorted[0])?.network ?? null
}

const byName = (a: Attachment, b: Attachment): number => byNearness(a.network, b.network)
