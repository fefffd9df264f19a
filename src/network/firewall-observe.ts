import { createHash } from 'node:crypto'
import type { Kernel } from '../kernel/kernel.ts'
import { nftList } from '../kernel/nft.ts'
import { type IdentityElement, identitiesOf } from './firewall-antispoof.ts'
import {
  ADMIN,
  baseChains,
  MAPS,
  portOfDnsComment,
  SETS,
  type SetName,
  TABLE_SETS,
} from './firewall-base.ts'
import { type ChainObject, isWholeChain } from './firewall-chain.ts'
import type { FirewallElement } from './firewall-elements.ts'
import type { Lift } from './firewall-lift.ts'
import { liftsOf } from './firewall-lift-observe.ts'
import { isSpreadChain, parseSpread, type Spread } from './firewall-spread.ts'
import { type PolicyFacts, policyFacts } from './policy-script.ts'

/** What pak's table holds now. */
export interface FirewallFacts {
  readonly present: boolean
  /** Its chains are not asked. */
  readonly dormant: boolean
  /** What is not as pak made it, for a reader; `null`: nothing, as far as elements are not concerned. */
  readonly fault: string | null
  /** The port that names are redirected to; `null` where there is a fault. */
  readonly dnsPort: number | null
  readonly elements: readonly FirewallElement[]
  /** Every chain that spreads connections, whoever's. */
  readonly spreads: readonly Spread[]
  /** `null`: not looked at, not there or not as pak made it. */
  readonly lifts: readonly Lift[] | null
  /** Who may send what where policies are; none without `lifts`. */
  readonly identities: ReadonlySet<IdentityElement>
  /** The asked project's policies; `null`: not looked at, or none. */
  readonly policies: PolicyFacts | null
  /** Chains, sets and maps of the table that pak makes, and chains of others that the kernel asks; what an administrator's rules need is not here. */
  readonly chains: readonly string[]
  readonly sets: readonly SetName[]
  /** Rules of an administrator. */
  readonly filters: number
  /** What the rules of each table say that was looked at, as `family name`: equal texts are equal rules. */
  readonly rules: ReadonlyMap<string, string>
}

/** Read the table in one go, and with `lifts` the one of family `bridge`, with `policies` that table, too. Throws `network`. */
export async function observeFirewall(
  kernel: Kernel,
  table: string,
  { lifts, policies = null }: { readonly lifts: boolean; readonly policies?: string | null },
): Promise<FirewallFacts> {
  const [inet, bridge, policy] = await Promise.all([
    objectsOf(kernel, [`list table inet ${table}`]),
    // Where the kernel has no such family there is no such table either.
    lifts ? objectsOf(kernel, [`list table bridge ${table}`]).catch(() => null) : null,
    policies === null ? null : nftList(kernel, [`list table inet ${policies}`]),
  ])
  const facts = firewallFacts(inet)
  const tables = [
    [`inet ${table}`, inet],
    [`bridge ${table}`, bridge],
    [`inet ${policies}`, policy],
  ] as const
  return {
    ...facts,
    rules: new Map(
      tables.flatMap(([name, objects]) =>
        objects === null ? [] : [[name, rulesText(objects as readonly NftObject[])]],
      ),
    ),
    lifts: bridge === null ? null : liftsOf(bridge),
    identities: identitiesOf(bridge ?? []),
    policies: policyFacts(policy),
  }
}

/** What the rules of a table say, as in `FirewallFacts`; `null`: there is none. Throws `network`. */
export async function readRules(kernel: Kernel, table: string): Promise<string | null> {
  const objects = await objectsOf(kernel, [`list table ${table}`])
  return objects === null ? null : rulesText(objects)
}

/** Handles and counters aside; what spreads connections is read word by word anyway. */
function rulesText(objects: readonly NftObject[]): string {
  const hash = createHash('sha256')
  for (const { rule } of objects)
    if (rule?.chain !== undefined && rule.chain !== ADMIN && !isSpreadChain(rule.chain))
      hash.update(`${rule.chain} ${JSON.stringify(rule.expr)}\n`)
  return hash.digest('hex')
}

const objectsOf = async (
  kernel: Kernel,
  commands: readonly string[],
): Promise<readonly NftObject[] | null> =>
  (await nftList(kernel, commands)) as readonly NftObject[] | null

/** What `nft -j list table` shows (libnftables-json(5)), `null` where there is no such table. */
export function firewallFacts(objects: readonly NftObject[] | null): FirewallFacts {
  if (objects === null) return NO_TABLE
  const comments = objects.flatMap(({ rule }) => rule?.comment ?? [])
  const dnsPort = comments.map(portOfDnsComment).find((port) => port !== null) ?? null
  // Any port will do to tell what else is wrong.
  const fault = faultOf(objects, dnsPort ?? 1)
  return {
    present: true,
    dormant: isDormant(objects),
    fault,
    dnsPort: fault === null ? dnsPort : null,
    elements: objects.flatMap(({ set, map }) => elementsOf(set ?? map)),
    spreads: objects.flatMap(({ chain }) => spreadsOf(objects, chain?.name ?? '')),
    lifts: null,
    identities: new Set(),
    policies: null,
    chains: objects.flatMap(({ chain }) =>
      isOurs(chain?.name ?? '') || isStray(chain) ? (chain?.name ?? []) : [],
    ),
    sets: objects.flatMap(({ set, map }) => {
      const { name = '' } = set ?? map ?? {}
      return isSetName(name) ? [name] : []
    }),
    filters: objects.filter(({ rule }) => rule?.chain === ADMIN).length,
    rules: new Map(),
  }
}

const OWN_CHAINS: ReadonlySet<string> = new Set(baseChains(1).map(({ name }) => name))
const isOurs = (chain: string): boolean => OWN_CHAINS.has(chain) || isSpreadChain(chain)

export const NO_TABLE: FirewallFacts = {
  present: false,
  dormant: false,
  fault: 'its table was gone',
  dnsPort: null,
  elements: [],
  spreads: [],
  lifts: null,
  identities: new Set(),
  policies: null,
  chains: [],
  sets: [],
  filters: 0,
  rules: new Map(),
}

function spreadsOf(objects: readonly NftObject[], chain: string): readonly Spread[] {
  if (!isSpreadChain(chain)) return []
  const rules = objects.flatMap(({ rule }) => (rule?.chain === chain ? [rule] : []))
  return [parseSpread(chain, rules)]
}

/** What is used of libnftables-json(5); every key may be missing. */
interface NftObject extends ChainObject {
  readonly table?: { readonly flags?: unknown }
  readonly set?: NftSet
  readonly map?: NftSet
  readonly rule?: ChainObject['rule'] & { readonly expr?: readonly unknown[] }
}

interface NftSet {
  readonly name?: string
  readonly elem?: readonly unknown[]
}

const isDormant = (objects: readonly NftObject[]): boolean =>
  objects.some(({ table }) => table?.flags !== undefined)

/** One of somebody else that sees packets by itself: an administrator's is jumped to. */
const isStray = (chain: NftObject['chain']): boolean =>
  chain?.hook !== undefined && !isOurs(chain.name ?? '')

function faultOf(objects: readonly NftObject[], dnsPort: number): string | null {
  if (isDormant(objects)) return 'its table was dormant'
  const names = new Set(objects.map(({ set, map }) => (set ?? map)?.name))
  const lost = [...Object.keys(TABLE_SETS), ...Object.keys(MAPS)].find((name) => !names.has(name))
  if (lost !== undefined) return `its set ${lost} was gone`
  const foreign = objects
    .flatMap(({ set, map }) => elementsOf(set ?? map))
    .find(({ comment }) => comment === '')
  if (foreign !== undefined) return `its set ${foreign.set} had ${foreign.key}, of nobody`
  const added = objects.find(({ chain }) => isStray(chain))?.chain
  if (added !== undefined) return `its table had chain ${added.name}, of nobody`
  // What is in an administrator's own chain is not pak's.
  const chains = baseChains(dnsPort).filter(({ name }) => name !== ADMIN)
  const odd = chains.find((chain) => !isWholeChain(objects, chain))
  return odd === undefined ? null : `its chain ${odd.name} was not as pak made it`
}

function elementsOf(set: NftSet | undefined): FirewallElement[] {
  const name = set?.name ?? ''
  if (!isSetName(name)) return []
  return (set?.elem ?? []).flatMap((member) => {
    const [left, right] = Array.isArray(member) ? member : [member, null]
    const { elem } = (left ?? {}) as { elem?: { val?: unknown; comment?: unknown } }
    const key = textOf(elem === undefined ? left : elem.val)
    const value = right === null ? null : textOf(right)
    // One without a comment is nobody's: somebody put it there by hand.
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
