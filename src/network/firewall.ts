import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { nftApply } from '../kernel/nft.ts'
import { type HostPort, hostsMeet, portText } from '../model/port.ts'
import { identityChange, identityScript } from './firewall-antispoof.ts'
import { ADMIN, baseChains, chainScript, MAPS, type SetName, TABLE_SETS } from './firewall-base.ts'
import { contentOf, type FirewallRequest } from './firewall-content.ts'
import {
  elementKey,
  type FirewallElement,
  hostPortOf,
  inherited,
  isShared,
  ownerOf,
  placeOf,
} from './firewall-elements.ts'
import { type Lift, liftScript, sameLift } from './firewall-lift.ts'
import { type FirewallFacts, observeFirewall } from './firewall-observe.ts'
import { closingScript, type OtherChain, openingScript } from './firewall-others.ts'
import { type Spread, sameSpread, spreadRule, targetsOf } from './firewall-spread.ts'
import { forgetFlows } from './flows.ts'
import { noPolicies, policyScript } from './policy-script.ts'
import { policyTable, policyTableName } from './policy-table.ts'

export type { FirewallRequest } from './firewall-content.ts'
export type { FirewallNetwork, Publication, ServiceAddress } from './firewall-elements.ts'

/**
 * Make the table know exactly this of the project, in one transaction; other projects are untouched.
 * Throws `port_taken` when another project publishes one of the ports, `network` when nft refuses.
 */
export async function applyFirewall(
  kernel: Kernel,
  request: FirewallRequest,
  observe: Observe = by(kernel),
): Promise<Made> {
  let made: Made
  let left: readonly string[] = []
  const asked = (kept: boolean) => (previous: FirewallFacts) => {
    left = departed(previous, request)
    return firewallTransaction({ ...request, kept, previous })
  }
  try {
    made = await transact(kernel, observe, { ...request, script: asked(true) })
  } catch (error) {
    // Not every kernel can filter on bridges: then replicas see the gateway in place of their client.
    if (request.services.length === 0 || !isRefusal(error)) throw error
    // With policies there is nothing to fall back on: neighbours would reach each other unseen.
    if ((request.guarded ?? []).length > 0) throw error
    made = await transact(kernel, observe, { ...request, script: asked(false) })
  }
  await forgetFlows(kernel, left)
  return made
}

/** Tables made anew, as `family name`. */
type Made = readonly string[]

/** What pak's tables hold now; throws `network`. */
type Observe = (question: {
  readonly table: string
  readonly lifts: boolean
  readonly policies: string | null
}) => Promise<FirewallFacts>

const by =
  (kernel: Kernel): Observe =>
  ({ table, ...question }) =>
    observeFirewall(kernel, table, question)

/** Containers that had a share of something, and have none any more. */
function departed(previous: FirewallFacts, request: FirewallRequest): readonly string[] {
  const { published, services, project } = request
  const stay = new Set([
    ...published.map(({ address }) => address),
    ...services.flatMap(({ targets }) => targets),
  ])
  const had = previous.spreads.filter(({ owner }) => owner === project).flatMap(targetsOf)
  const addresses = new Set(had.map((target) => target.split(' . ')[0] ?? ''))
  return [...addresses].filter((address) => !stay.has(address))
}

/** Take a project out of the table; the table goes with its last project. */
export async function removeFirewall(
  kernel: Kernel,
  request: Pick<FirewallRequest, 'table' | 'project' | 'lifts' | 'others' | 'heirs'>,
  observe: Observe = by(kernel),
): Promise<Made> {
  const script = (previous: FirewallFacts) => firewallRemoval({ ...request, previous })
  return transact(kernel, observe, { ...request, script })
}

async function transact(
  kernel: Kernel,
  observe: Observe,
  {
    table,
    project,
    lifts,
    script,
  }: Pick<FirewallRequest, 'table' | 'project' | 'lifts'> & {
    readonly script: (previous: FirewallFacts) => string
  },
): Promise<Made> {
  const attempt = async () => {
    const policies = lifts ? policyTableName(table, project) : null
    const question = { table, lifts, policies }
    const seen = await observe(question)
    // It has to be awake before anything of it can be deleted, in a transaction of its own.
    if (seen.dormant) await nftApply(kernel, `add table inet ${tableWord(table)}\n`)
    const text = script(seen.dormant ? await observe(question) : seen)
    if (text !== '') await nftApply(kernel, text)
    return [...text.matchAll(/^table (\S+ \S+) \{/gm)].map(([, name = '']) => name)
  }
  try {
    return await attempt()
  } catch (error) {
    // Somebody changed the table between the look and the transaction (a flush, an element removed).
    if (!isRefusal(error)) throw error
    return attempt()
  }
}

const isRefusal = (error: unknown): boolean => error instanceof PakError && error.code === 'network'

/** The text of one nft transaction; empty when the table is already as asked. */
export function firewallTransaction(
  request: FirewallRequest & {
    readonly previous: FirewallFacts
    /** Whether clients of services keep their own address; without a word they do. */
    readonly kept?: boolean
  },
): string {
  const { table, project, previous } = request
  const wanted = contentOf(request)
  const mine = (owner: string) => owner === '' || owner === project
  const own = previous.elements.filter((element) => mine(ownerOf(element)))
  const others = previous.elements.filter((element) => !mine(ownerOf(element)))
  refuseTaken(wanted.elements, others)
  const around = [
    ...liftChange(request, wanted.lifts),
    ...policyChange(request),
    ...openingScript(request.others, request),
  ]
  const spreads = previous.spreads.filter(({ owner }) => !mine(owner))
  const after = textsOf(wanted.elements)
  const gone = own.filter((element) => !after.has(elementKey(element)))
  const left = inherited(gone, request.heirs ?? [])
  if (previous.dnsPort !== request.dnsPort)
    return [
      // Deleting needs it to be there; adding what is there is no error.
      `add table inet ${tableWord(table)}`,
      ...clearScript(previous, table),
      ...baseScript(table, request.dnsPort),
      ...[...spreads, ...wanted.spreads].flatMap((spread) => newSpread(table, spread)),
      ...elementScript('add', table, [...others, ...wanted.elements, ...left]),
      ...around,
      '',
    ].join('\n')
  const before = textsOf(own)
  const added = wanted.elements.filter((element) => !before.has(elementKey(element)))
  const known = previous.spreads.filter(({ owner }) => mine(owner))
  const lines = [
    ...elementScript('delete', table, gone),
    ...wanted.spreads.flatMap((spread) => spreadChange(table, known, spread)),
    ...elementScript('add', table, [...added, ...left]),
    ...known
      .filter(({ chain }) => !wanted.spreads.some((spread) => spread.chain === chain))
      .flatMap((spread) => noSpread(table, spread)),
    ...around,
  ]
  return textOf(lines)
}

const textsOf = (elements: readonly FirewallElement[]): ReadonlySet<string> =>
  new Set(elements.map(elementKey))

function liftChange(
  request: Pick<FirewallRequest, 'table' | 'project' | 'identities'> & {
    readonly previous: FirewallFacts
  },
  wanted: readonly Lift[],
): readonly string[] {
  const { table, project, previous, identities = [] } = request
  const before = previous.lifts
  const change = identityChange(previous.identities, identities)
  if (before === null && wanted.length === 0) return []
  const others = (before ?? []).filter(({ owner }) => owner !== project)
  const all = [...others, ...wanted].sort((a, b) => (a.subnet < b.subnet ? -1 : 1))
  const same =
    before !== null &&
    before.length === all.length &&
    all.every((lift) => before.some((other) => sameLift(lift, other)))
  if (same) return identityScript(tableWord(table), change)
  const gone = new Set(change.gone)
  const kept = [...previous.identities].filter((each) => !gone.has(each))
  return liftScript(tableWord(table), all, {
    present: before !== null,
    identities: [...kept, ...change.added],
  })
}

function policyChange(
  request: Pick<FirewallRequest, 'table' | 'project' | 'dnsPort' | 'policies'> & {
    readonly previous: FirewallFacts
  },
): readonly string[] {
  const { policies = null, previous, table, project } = request
  if (policies !== null) return policyScript(policyTable(request, policies), previous.policies)
  return previous.policies === null ? [] : noPolicies(policyTableName(tableWord(table), project))
}

const newSpread = (table: string, spread: Spread): readonly string[] => [
  `add chain inet ${tableWord(table)} ${spread.chain}`,
  `add rule inet ${table} ${spread.chain} ${spreadRule(spread)}`,
]

function spreadChange(table: string, known: readonly Spread[], spread: Spread): readonly string[] {
  const before = known.find(({ chain }) => chain === spread.chain)
  if (before === undefined) return newSpread(table, spread)
  if (sameSpread(before, spread)) return []
  return [`flush chain inet ${tableWord(table)} ${spread.chain}`, ...newSpread(table, spread)]
}

const noSpread = (table: string, { chain }: Spread): readonly string[] => [
  `flush chain inet ${tableWord(table)} ${chain}`,
  `delete chain inet ${table} ${chain}`,
]

/** The text that takes a project out; empty when it is not in. */
export function firewallRemoval(request: {
  readonly table: string
  readonly project: string
  readonly previous: FirewallFacts
  readonly others: readonly OtherChain[]
  readonly heirs?: readonly FirewallElement[]
}): string {
  const { table, project, previous, others, heirs = [] } = request
  const policies = previous.policies === null ? [] : noPolicies(policyTableName(table, project))
  const lifts = [...liftChange(request, []), ...policies]
  if (!previous.present) return textOf([...lifts, ...closingScript(others, table)])
  const mine = (owner: string) => owner === '' || owner === project
  const own = previous.elements.filter((element) => mine(ownerOf(element)))
  const left = inherited(own, heirs)
  if (own.length === previous.elements.length && left.length === 0)
    return textOf([
      ...clearScript(previous, tableWord(table)),
      ...lifts,
      ...closingScript(others, table),
    ])
  const spreads = previous.spreads.filter(({ owner }) => mine(owner))
  return textOf([
    ...elementScript('delete', table, own),
    ...elementScript('add', table, left),
    ...spreads.flatMap((spread) => noSpread(table, spread)),
    ...lifts,
  ])
}

const textOf = (lines: readonly string[]): string =>
  lines.length === 0 ? '' : `${lines.join('\n')}\n`

/** Everything goes but what an administrator has written into the chain that is there for it. */
function clearScript(previous: FirewallFacts, table: string): readonly string[] {
  const { filters, chains, sets } = previous
  if (filters === 0) return [`delete table inet ${table}`]
  const own = chains.filter((chain) => chain !== ADMIN)
  return [
    ...own.map((chain) => `flush chain inet ${table} ${chain}`),
    ...sets.map(
      (name) => `flush ${Object.hasOwn(MAPS, name) ? 'map' : 'set'} inet ${table} ${name}`,
    ),
    ...own.map((chain) => `delete chain inet ${table} ${chain}`),
  ]
}

/** The project that publishes this host port, or one that covers it; `null`: none but `except`. */
export function publisherOf(facts: FirewallFacts, port: HostPort, except: string): string | null {
  const holder = facts.elements.find((element) => {
    const other = hostPortOf(element)
    return ownerOf(element) !== except && other !== null && collide(other, port)
  })
  return holder === undefined ? null : ownerOf(holder)
}

const collide = (a: HostPort, b: HostPort): boolean =>
  a.published === b.published && a.protocol === b.protocol && hostsMeet(a.hostIp, b.hostIp)

function refuseTaken(wanted: readonly FirewallElement[], others: readonly FirewallElement[]): void {
  const places = new Map(others.map((element) => [placeOf(element), ownerOf(element)]))
  const ports = others.flatMap((element) => {
    const port = hostPortOf(element)
    return port === null ? [] : [{ port, owner: ownerOf(element) }]
  })
  for (const element of wanted) {
    const mine = hostPortOf(element)
    const owner = mine === null ? null : ports.find(({ port }) => collide(port, mine))?.owner
    if (mine !== null && owner)
      throw new PakError(
        'port_taken',
        `publish \`${portText(mine)}\`: taken by project \`${owner}\``,
      )
    const holder = places.get(placeOf(element))
    if (holder !== undefined && !isShared(element))
      throw new PakError(
        'conflict',
        `network \`${element.comment}\`: \`${element.key}\` belongs to project \`${holder}\``,
      )
  }
}

function baseScript(table: string, dnsPort: number): string[] {
  return [
    `table inet ${table} {`,
    ...Object.entries(TABLE_SETS).map(([name, type]) => `  set ${name} { ${type}; }`),
    ...Object.entries(MAPS).map(([name, type]) => `  map ${name} { ${type}; }`),
    ...baseChains(portNumber(dnsPort)).flatMap(chainScript),
    '}',
  ]
}

/** One command per set, one element per line: a refusal names its line. */
export function elementScript(
  verb: 'add' | 'delete',
  table: string,
  elements: readonly FirewallElement[],
): string[] {
  const sets = new Map<string, FirewallElement[]>()
  for (const element of elements) sets.set(element.set, [...(sets.get(element.set) ?? []), element])
  return [...sets].flatMap(([set, members]) => [
    `${verb} element inet ${tableWord(table)} ${set} {`,
    ...members.map((element) => `  ${elementText(verb, element)},`),
    '}',
  ])
}

/** How many names of interfaces a key begins with: quoted, as one may be a word of nft's own. */
const NAMES: Partial<Readonly<Record<SetName, number>>> = {
  bridges: 1,
  internal: 1,
  links: 2,
  gateways: 1,
  doors: 1,
  askers: 1,
  services: 1,
  services6: 1,
}

function elementText(
  verb: 'add' | 'delete',
  { set, key, value, comment }: FirewallElement,
): string {
  const names = NAMES[set] ?? 0
  const words = key.split(' . ').map((word, index) => (index < names ? `"${word}"` : word))
  const text = words.join(' . ')
  if (verb === 'delete') return text
  return `${text} comment "${comment}"${value === null ? '' : ` : ${value}`}`
}

function tableWord(table: string): string {
  if (/^[a-z][a-z0-9_]{0,31}$/.test(table)) return table
  throw new PakError('network', `nft table \`${table}\`: refused`)
}

function portNumber(port: number): number {
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new PakError('network', `dns port \`${port}\`: not within 1 and 65535`)
}
