import type { Kernel } from '../kernel/kernel.ts'
import { nftList } from '../kernel/nft.ts'
import { macAddress } from './bridge.ts'
import { baseChains, MAPS, portOfDnsComment, SETS, type SetName } from './firewall-base.ts'
import {
  type FirewallElement,
  type FirewallNetwork,
  hostPortOf,
  networkElements,
  networkOf,
  ownerOf,
  type Publication,
  publicationOf,
  type ServiceAddress,
  sameElement,
  serviceElements,
} from './firewall-elements.ts'
import { type Lift, liftsOf } from './firewall-lift.ts'
import { isSpreadChain, parseSpread, type Spread, targetsOf } from './firewall-spread.ts'

/** What pak's table holds now. */
export interface FirewallFacts {
  readonly present: boolean
  /** The port that names are redirected to; `null` unless every set, chain and rule is as pak made it. */
  readonly dnsPort: number | null
  readonly elements: readonly FirewallElement[]
  /** Every chain that spreads connections, whoever's. */
  readonly spreads: readonly Spread[]
  /** `null`: not looked at, not there or not as pak made it. */
  readonly lifts: readonly Lift[] | null
}

/** Read the table in one go, and with `lifts` the one of family `bridge` too. Throws `network`. */
export async function observeFirewall(
  kernel: Kernel,
  table: string,
  { lifts }: { readonly lifts: boolean },
): Promise<FirewallFacts> {
  const [inet, bridge] = await Promise.all([
    objectsOf(kernel, [`list table inet ${table}`]),
    // Where the kernel has no such family there is no such table either.
    lifts ? objectsOf(kernel, [`list table bridge ${table}`]).catch(() => null) : null,
  ])
  const facts = firewallFacts(inet)
  return { ...facts, lifts: bridge === null ? null : liftsOf(bridge) }
}

const objectsOf = async (
  kernel: Kernel,
  commands: readonly string[],
): Promise<readonly NftObject[] | null> =>
  (await nftList(kernel, commands)) as readonly NftObject[] | null

/** What `nft -j list table` shows (libnftables-json(5)), `null` where there is no such table. */
export function firewallFacts(objects: readonly NftObject[] | null): FirewallFacts {
  if (objects === null)
    return { present: false, dnsPort: null, elements: [], spreads: [], lifts: null }
  const comments = objects.flatMap(({ rule }) => rule?.comment ?? [])
  const dnsPort = comments.map(portOfDnsComment).find((port) => port !== null) ?? null
  return {
    present: true,
    dnsPort: dnsPort !== null && isWhole(objects, dnsPort) ? dnsPort : null,
    elements: objects.flatMap(({ set, map }) => elementsOf(set ?? map)),
    spreads: objects.flatMap(({ chain }) => spreadsOf(objects, chain?.name ?? '')),
    lifts: null,
  }
}

function spreadsOf(objects: readonly NftObject[], chain: string): readonly Spread[] {
  if (!isSpreadChain(chain)) return []
  const rules = objects.flatMap(({ rule }) => (rule?.chain === chain ? [rule] : []))
  return [parseSpread(chain, rules)]
}

export interface ProjectFirewall {
  /** Networks of which every element is there as its record says. Sorted. */
  readonly networks: readonly string[]
  readonly published: readonly Omit<Publication, 'container'>[]
  /** With no targets where something of it is missing or altered. */
  readonly services: readonly ServiceAddress[]
}

/**
 * One project's part. A network with a missing or altered element is left out, and so is everything
 * when the rules are not whole or redirect names elsewhere: what cannot work is not there. Elements
 * of a network without a record are told by name, so that they are found and removed.
 */
export function projectFirewall(
  facts: FirewallFacts,
  expected: {
    readonly project: string
    readonly dnsPort: number
    readonly networks: readonly FirewallNetwork[]
  },
): ProjectFirewall {
  if (facts.dnsPort !== expected.dnsPort) return { networks: [], published: [], services: [] }
  const own = facts.elements.filter((element) => ownerOf(element) === expected.project)
  const held = (wanted: FirewallElement) => own.some((element) => sameElement(element, wanted))
  const recorded = new Set(expected.networks.map(({ name }) => name))
  const whole = expected.networks
    .filter((network) => {
      const wanted = networkElements(expected.project, network)
      const extra = own.filter((element) => networkOf(element) === network.name)
      return wanted.every(held) && extra.length === wanted.length
    })
    .map(({ name }) => name)
  const strays = own.flatMap((element) => networkOf(element) ?? []).filter((n) => !recorded.has(n))
  return {
    networks: [...new Set([...whole, ...strays])].sort(),
    published: own.flatMap((element) => publicationOf(element) ?? shared(facts, element)),
    services: own.flatMap((element) => serviceOf(facts, own, { element, expected })),
  }
}

const spreadAt = ({ spreads }: FirewallFacts, { value, comment }: FirewallElement) =>
  spreads.find(({ chain, owner }) => value === `goto ${chain}` && owner === comment) ?? null

/** The containers that share a host port. */
function shared(
  facts: FirewallFacts,
  element: FirewallElement,
): readonly Omit<Publication, 'container'>[] {
  const [port, spread] = [hostPortOf(element), spreadAt(facts, element)]
  if (port === null || spread === null || spread.protocol !== port.protocol) return []
  return targetsOf(spread).map((text) => {
    const [address = '', target = ''] = text.split(' . ')
    return { ...port, address, target: Number(target), affinity: spread.affinity }
  })
}

function serviceOf(
  facts: FirewallFacts,
  own: readonly FirewallElement[],
  at: {
    readonly element: FirewallElement
    readonly expected: {
      readonly project: string
      readonly networks: readonly FirewallNetwork[]
    }
  },
): readonly ServiceAddress[] {
  const { element, expected } = at
  if (element.set !== 'services') return []
  const [bridge = '', address = ''] = element.key.split(' . ')
  const spread = spreadAt(facts, element)
  const targets = spread === null || spread.protocol !== null ? [] : targetsOf(spread)
  const found: ServiceAddress = { bridge, address, targets, affinity: spread?.affinity ?? 'none' }
  const kept = own.some(({ set, key }) => set === 'kept' && key === address)
  const chain = spread?.chain ?? ''
  const network = expected.networks.find((one) => one.bridge === bridge)
  const lifted =
    network !== undefined &&
    (facts.lifts ?? []).some(
      ({ subnet, mac }) => subnet === network.subnet && mac === macAddress(network.gateway),
    )
  const whole =
    kept === lifted &&
    serviceElements(expected.project, found, { chain, kept }).every((wanted) =>
      own.some((one) => sameElement(one, wanted)),
    )
  return [whole ? found : { ...found, targets: [] }]
}

/** What is used of libnftables-json(5); every key may be missing. */
interface NftObject {
  readonly set?: NftSet
  readonly map?: NftSet
  readonly chain?: {
    name?: string
    type?: string
    hook?: string
    prio?: number
    policy?: string
  }
  readonly rule?: {
    readonly chain?: string
    readonly comment?: string
    readonly expr?: readonly unknown[]
  }
}

interface NftSet {
  readonly name?: string
  readonly elem?: readonly unknown[]
}

function isWhole(objects: readonly NftObject[], dnsPort: number): boolean {
  const names = new Set(objects.map(({ set, map }) => (set ?? map)?.name))
  if (![...Object.keys(SETS), ...Object.keys(MAPS)].every((name) => names.has(name))) return false
  return baseChains(dnsPort).every(({ name, hook, rules }) => {
    const found = objects.find(({ chain }) => chain?.name === name)?.chain
    if (found === undefined) return false
    const hooked =
      hook === null ||
      (found.type === hook.type &&
        found.hook === hook.hook &&
        found.prio === hook.priority &&
        found.policy === 'accept')
    const comments = objects.flatMap(({ rule }) =>
      rule?.chain === name ? [rule.comment ?? ''] : [],
    )
    return hooked && comments.join('\n') === rules.map(({ comment }) => comment).join('\n')
  })
}

function elementsOf(set: NftSet | undefined): FirewallElement[] {
  const name = set?.name ?? ''
  if (!isSetName(name)) return []
  return (set?.elem ?? []).flatMap((member) => {
    const [left, right] = Array.isArray(member) ? member : [member, null]
    const { elem } = (left ?? {}) as { elem?: { val?: unknown; comment?: unknown } }
    const key = textOf(elem === undefined ? left : elem.val)
    const value = right === null ? null : textOf(right)
    // One without a comment is nobody's: somebody put it there by hand, and the next transaction removes it.
    const comment = typeof elem?.comment === 'string' ? elem.comment : ''
    return key.includes('?') ? [] : [{ set: name, key, value, comment }]
  })
}

const isSetName = (name: string): name is SetName =>
  Object.hasOwn(SETS, name) || Object.hasOwn(MAPS, name)

/** An expression of the JSON as nft writes it: `a . b`, `10.0.0.0/8`. */
function textOf(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(value)
  if ('concat' in value && Array.isArray(value.concat)) return value.concat.map(textOf).join(' . ')
  if ('goto' in value) {
    const { target } = value.goto as { target?: unknown }
    return `goto ${target}`
  }
  if ('prefix' in value) {
    const { addr, len } = value.prefix as { addr?: unknown; len?: unknown }
    return `${addr}/${len}`
  }
  return '?'
}
