import type { Attachment, ContainerSpec } from './desired.ts'
import { byNearness } from './shared.ts'

/** The network with the default route, where published ports arrive and answers leave; `null`: none. */
export function receiverOf(
  { networkMode, networks }: Pick<ContainerSpec, 'networkMode' | 'networks'>,
  internal: (network: string) => boolean,
): string | null {
  if (networkMode.kind !== 'bridge') return null
  const sorted = [...networks].sort(
    (a, b) => (b.gwPriority ?? 0) - (a.gwPriority ?? 0) || byName(a, b),
  )
  return (sorted.find(({ network }) => !internal(network)) ?? sorted[0])?.network ?? null
}

const byName = (a: Attachment, b: Attachment): number => byNearness(a.network, b.network)
