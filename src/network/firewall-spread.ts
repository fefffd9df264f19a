import { PakError } from '../errors.ts'
import type { Affinity } from '../model/desired.ts'
import { addressWord, projectWord } from './firewall-elements.ts'

/**
 * A chain of its own for each place whose connections go to several containers. It holds one rule: a
 * number, drawn or made of the client's address, and what it means. Only the first packet of a
 * connection comes here; conntrack remembers the rest, so that replacing the rule breaks nothing.
 */
export interface Spread {
  readonly chain: string
  /** The project; empty for one that nobody owns. */
  readonly owner: string
  /** Of a published port, whose number may change on the way; `null`: every protocol, the port kept. */
  readonly protocol: string | null
  readonly affinity: Affinity
  /** `address . port`, or `address`, for each number. */
  readonly slots: readonly string[]
}

export interface SpreadRequest {
  /** From words that have been checked. */
  readonly place: readonly string[]
  readonly project: string
  readonly protocol: string | null
  readonly affinity: Affinity
  readonly targets: readonly { readonly address: string; readonly port: number | null }[]
}

const CHAIN = /^to_[A-Za-z0-9_]{1,100}$/
/** Enough that each of eight replicas has its share of clients, give or take a quarter. */
const SLOTS = 1024
/** "pak!": other programs that hash the same address must not come to the same number. */
const SEED = 0x70616b21

export function spreadOf({ place, project, protocol, affinity, targets }: SpreadRequest): Spread {
  const words = targets
    .map(({ address, port }) => {
      const checked = addressWord(address)
      return port === null ? checked : `${checked} . ${portWord(port)}`
    })
    .sort()
  return {
    chain: chainWord(
      `to_${place.map((word) => word.replaceAll(':', 'x').replaceAll(/[^A-Za-z0-9]+/g, '_')).join('_')}`,
    ),
    owner: projectWord(project),
    protocol,
    affinity,
    slots: affinity === 'none' ? words : clientSlots(words),
  }
}

/**
 * For each slot the target that has drawn the highest number for it (rendezvous hashing): a target
 * that leaves gives only its own slots away, one that comes back takes just those again.
 */
export function clientSlots(targets: readonly string[]): readonly string[] {
  const seeds = targets.map((target) => [target, fnv(target)] as const)
  return Array.from({ length: Math.max(SLOTS, 16 * targets.length) }, (_, slot) => {
    let [best, most] = ['', -1]
    for (const [target, seed] of seeds) {
      const drawn = mixed(mixed(seed + slot) ^ seed)
      if (drawn > most) [best, most] = [target, drawn]
    }
    return best
  })
}

/** FNV-1a, 32 bits. */
function fnv(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash
}

/** The finalizer of MurmurHash3: each bit of the input moves half of the output. */
function mixed(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

export const sameSpread = (a: Spread, b: Spread): boolean =>
  a.owner === b.owner &&
  a.protocol === b.protocol &&
  a.affinity === b.affinity &&
  a.slots.length === b.slots.length &&
  a.slots.every((slot, index) => slot === b.slots[index])

/** Who is behind it, each once. */
export const targetsOf = ({ slots }: Spread): readonly string[] => [...new Set(slots)].sort()

export function spreadRule({ owner, protocol, affinity, slots }: Spread): string {
  const ip = slots[0]?.includes(':') ? 'ip6' : 'ip'
  return [
    ...(protocol === null ? [] : [`meta l4proto ${protocol}`]),
    `dnat ${ip} to`,
    affinity === 'none' ? 'numgen random' : `jhash ${ip} saddr`,
    `mod ${slots.length}${affinity === 'none' ? '' : ` seed 0x${SEED.toString(16)}`} map`,
    `{ ${slots.map((slot, number) => `${number} : ${slot}`).join(', ')} }`,
    `comment "${owner}"`,
  ].join(' ')
}

/** What is used of libnftables-json(5) of such a chain; every key may be missing. */
export interface NftRule {
  readonly chain?: string
  readonly comment?: string
  readonly expr?: readonly unknown[]
}

export const isSpreadChain = (name: string): boolean => CHAIN.test(name)

/** The inverse of `spreadRule`; a chain of any other content is nobody's, without slots. */
export function parseSpread(chain: string, rules: readonly NftRule[]): Spread {
  const [rule, ...others] = rules
  const owner = rule?.comment ?? ''
  const nothing: Spread = { chain, owner, protocol: null, affinity: 'none', slots: [] }
  if (rule === undefined || others.length > 0) return nothing
  const expr = rule.expr ?? []
  const last = expr.at(-1) as { dnat?: { addr?: { map?: NftMap } } } | undefined
  const map = last?.dnat?.addr?.map
  const entries = map?.data?.set ?? []
  const slots = entries.map((entry, index) =>
    Array.isArray(entry) && entry[0] === index ? wordOf(entry[1]) : '',
  )
  const protocol = expr.length === 2 ? protocolOf(expr[0]) : null
  if (expr.length > 2 || slots.includes('') || map?.key === undefined) return nothing
  if (expr.length === 2 && protocol === null) return nothing
  return { chain, owner, protocol, affinity: map.key.jhash ? 'client_ip' : 'none', slots }
}

interface NftMap {
  readonly key?: { readonly jhash?: unknown; readonly numgen?: unknown }
  readonly data?: { readonly set?: readonly unknown[] }
}

function wordOf(value: unknown): string {
  if (typeof value === 'string') return value
  const { concat } = (value ?? {}) as { concat?: readonly unknown[] }
  return Array.isArray(concat) ? concat.join(' . ') : ''
}

function protocolOf(expression: unknown): string | null {
  const { match } = (expression ?? {}) as { match?: { right?: unknown } }
  return typeof match?.right === 'string' ? match.right : null
}

function chainWord(name: string): string {
  if (CHAIN.test(name)) return name
  throw new PakError('network', `nft chain \`${name}\`: refused`)
}

function portWord(port: number): string {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return String(port)
  throw new PakError('network', `port \`${port}\`: not within 1 and 65535`)
}
