import type { Attachment, ContainerSpec, Network } from './desired.ts'
import { isLan, kindOf } from './network-kind.ts'
import { byNearness } from './shared.ts'

/** What is asked of a network here; nothing is known of one that is not there. */
export type Ground = Pick<Network, 'internal' | 'driver'>

/** Of a network that is not seen yet: the default one, or one of others. */
export const OPEN_GROUND: Ground = { internal: false, driver: 'bridge' }

interface Networked extends Pick<ContainerSpec, 'networkMode' | 'networks'> {
  /** Networks that it was put on later, which come after those of its spec. */
  readonly connected?: readonly Attachment[]
}

type GroundOf = (network: string) => Ground | undefined

/**
 * The network where published ports arrive and answers leave; `null`: none. One of pak's own that leads out
 * comes before all that plugins make, and a LAN never is. It has the default route, but where a LAN was
 * given a higher priority: see `routeBySource`.
 */
export function receiverOf(container: Networked, groundOf: GroundOf): string | null {
  if (container.networkMode.kind !== 'bridge') return null
  const ways = knownOf(container, groundOf).sort(
    (a, b) => priorityOf(b.attachment) - priorityOf(a.attachment),
  )
  for (const wanted of ARRIVALS) {
    const found = ways.find(({ ground }) => arrivalOf(ground) === wanted)
    if (found !== undefined) return found.attachment.network
  }
  return null
}

/** The network whose plugins publish the ports of a container; `null`: pak does it. */
export function pluginsReceiver(container: Networked, groundOf: GroundOf): string | null {
  const network = receiverOf(container, groundOf)
  const ground = network === null ? undefined : groundOf(network)
  return ground !== undefined && kindOf(ground) === 'cni' ? network : null
}

/** How published ports can arrive by a network: from everywhere, as its plugins do it, hardly. */
const ARRIVALS = ['open', 'plugins', 'internal'] as const

/** `null`: not at all. */
function arrivalOf(ground: Ground | undefined): (typeof ARRIVALS)[number] | null {
  if (ground === undefined) return 'internal'
  const kind = kindOf(ground)
  if (kind === 'lan') return null
  if (kind === 'cni') return 'plugins'
  return ground.internal ? 'internal' : 'open'
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

const knownOf = ({ networks, connected = [] }: Networked, groundOf: GroundOf): Way[] =>
  [...[...networks].sort(byName), ...connected].map((attachment) => ({
    attachment,
    ground: groundOf(attachment.network),
  }))

const priorityOf = ({ gwPriority }: Attachment): number => gwPriority ?? 0

const byName = (a: Attachment, b: Attachment): number => byNearness(a.network, b.network)
