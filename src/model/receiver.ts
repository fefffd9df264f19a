import type { Attachment, ContainerSpec, Network } from './desired.ts'
import { isLan } from './lan.ts'
import { byNearness } from './shared.ts'

/** What is asked of a network here; nothing is known of one that is not there. */
export type Ground = Pick<Network, 'internal' | 'driver'>

interface Networked extends Pick<ContainerSpec, 'networkMode' | 'networks'> {
  /** Networks that it was put on later, which come after those of its spec. */
  readonly connected?: readonly Attachment[]
}

type GroundOf = (network: string) => Ground | undefined

/**
 * The network where published ports arrive and answers leave; `null`: none. It has the default route, but
 * where a LAN was given a higher priority: see `routeBySource`.
 */
export function receiverOf(container: Networked, groundOf: GroundOf): string | null {
  if (container.networkMode.kind !== 'bridge') return null
  const known = knownOf(container, groundOf)
  const bridged = known.filter((way) => !isOnLan(way))
  const sorted = bridged.sort((a, b) => priorityOf(b.attachment) - priorityOf(a.attachment))
  const found = sorted.find(({ ground }) => ground?.internal === false) ?? sorted[0]
  return found?.attachment.network ?? null
}

/** The first with the highest priority, and of those of one priority a bridge before a LAN. */
export const foremost = <T extends Way>(ways: readonly T[]): T | null =>
  ways.reduce<T | null>((best, way) => (best === null || isBefore(way, best) ? way : best), null)

interface Way {
  readonly attachment: Attachment
  readonly ground: Ground | undefined
}

function isBefore(way: Way, best: Way): boolean {
  const more = priorityOf(way.attachment) - priorityOf(best.attachment)
  return more > 0 || (more === 0 && isOnLan(best) && !isOnLan(way))
}

const isOnLan = ({ ground }: Way): boolean => ground !== undefined && isLan(ground)

const knownOf = ({ networks, connected = [] }: Networked, groundOf: GroundOf): readonly Way[] =>
  [...[...networks].sort(byName), ...connected].map((attachment) => ({
    attachment,
    ground: groundOf(attachment.network),
  }))

const priorityOf = ({ gwPriority }: Attachment): number => gwPriority ?? 0

const byName = (a: Attachment, b: Attachment): number => byNearness(a.network, b.network)
