import { linkGroups } from './bridge.ts'
import { type ChainObject, isWholeChain } from './firewall-chain.ts'
import { bySubnet, chainsFor, type Lift, MAPS } from './firewall-lift.ts'
import { parseCidr } from './ipv4.ts'

/** What is used of libnftables-json(5) of that table; every key may be missing. */
interface NftObject extends ChainObject {
  readonly table?: { readonly flags?: unknown }
  readonly map?: { readonly name?: string; readonly elem?: readonly unknown[] }
  readonly set?: { readonly name?: string; readonly elem?: readonly unknown[] }
}

/** What the table's objects lift; `null` where it is not as pak made it. */
export function liftsOf(objects: readonly NftObject[]): readonly Lift[] | null {
  const lifts = objects.flatMap(({ map }) =>
    MAPS.some(({ name }) => name === map?.name)
      ? (map?.elem ?? []).flatMap(liftsIn(map?.name))
      : [],
  )
  const listed = objects.flatMap(({ set }) =>
    set?.name === 'replicas' || set?.name === 'replicas6' ? (set.elem ?? []) : [],
  )
  const replicas = new Set(lifts.flatMap(({ subnet, ofReplica }) => (ofReplica ? subnet : [])))
  const same = listed.length === replicas.size && listed.every((each) => replicas.has(String(each)))
  // Dormant: its chains are not asked.
  const awake = objects.every(({ table }) => table?.flags === undefined)
  const all = same && awake ? withBound(objects, lifts) : null
  if (all === null) return null
  const chains = chainsFor(all)
  const there = objects.filter(({ chain }) => chain !== undefined)
  return there.length === chains.length && chains.every((chain) => isWholeChain(objects, chain))
    ? all
    : null
}

/** `null`: what is bound there, or passes to this host, is not what pak has bound. */
function withBound(objects: readonly NftObject[], lifts: readonly Lift[]): readonly Lift[] | null {
  const elements = (name: string) =>
    objects.flatMap(({ set }) => (set?.name === name ? (set.elem ?? []) : []))
  const owners = new Map(elements('bound').map(boundBlock))
  const isBound = ({ subnet, owner, ofPeers, ofReplica }: Lift) =>
    !ofPeers &&
    !ofReplica &&
    !subnet.includes(':') &&
    owners.get(boundKey(subnet))?.includes(owner) === true
  const all = lifts.map((lift) => (isBound(lift) ? { ...lift, isBound: true as const } : lift))
  const bound = all.filter((lift) => lift.isBound)
  const macs = new Set(bound.map(({ mac }) => mac))
  const routers = elements('routers')
  const whole =
    owners.size === bySubnet(bound).length &&
    routers.length === macs.size &&
    routers.every((mac) => macs.has(String(mac)))
  return whole ? all : null
}

/** A range of groups, as `boundKey` has it, and who wants it bound. */
function boundBlock(member: unknown): readonly [string, readonly string[]] {
  const { elem } = (member ?? {}) as { elem?: { val?: unknown; comment?: unknown } }
  return [String(blockOf(elem?.val)), String(elem?.comment).split(' ')]
}

const boundKey = (subnet: string): string =>
  `${linkGroups(subnet).first}/${parseCidr(subnet).prefix}`

const liftsIn =
  (map: string | undefined) =>
  (member: unknown): readonly Lift[] => {
    const [left, mac] = Array.isArray(member) ? member : [member, null]
    const { elem } = (left ?? {}) as { elem?: { val?: unknown; comment?: unknown } }
    const subnet = blockOf(elem?.val)
    if (subnet === null) return []
    const peers = map === 'lifted_peers' ? ({ ofPeers: true } as const) : {}
    const kind = map === 'answers' || map === 'answers6' ? ({ ofReplica: true } as const) : peers
    const owners = String(elem?.comment).split(' ')
    return owners.map((owner) => ({ subnet, mac: String(mac), owner, ...kind }))
  }

function blockOf(value: unknown): string | null {
  if (typeof value === 'string') return value
  const { prefix } = (value ?? {}) as { prefix?: { addr?: unknown; len?: unknown } }
  return prefix === undefined ? null : `${prefix.addr}/${prefix.len}`
}
