import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { nftApply } from '../kernel/nft.ts'
import { type HostPort, portText } from '../model/port.ts'
import { baseChains, type Chain, MAPS, SETS } from './firewall-base.ts'
import {
  ANY_ADDRESS,
  type FirewallElement,
  type FirewallNetwork,
  networkElements,
  ownerOf,
  type Publication,
  placeOf,
  publicationElement,
  publicationOf,
  sameElement,
} from './firewall-elements.ts'
import { type FirewallFacts, observeFirewall } from './firewall-observe.ts'

export type { FirewallNetwork, Publication } from './firewall-elements.ts'

export interface FirewallRequest {
  readonly table: string
  readonly project: string
  /** Where pak's name server listens on this host, UDP and TCP. */
  readonly dnsPort: number
  /** All of the project's networks and published ports: what is not here goes. */
  readonly networks: readonly FirewallNetwork[]
  readonly published: readonly Publication[]
}

/**
 * Make the table know exactly this of the project, in one transaction; other projects are untouched.
 * Throws `port_taken` when another project publishes one of the ports, `network` when nft refuses.
 */
export async function applyFirewall(kernel: Kernel, request: FirewallRequest): Promise<void> {
  await transact(kernel, request.table, (previous) => firewallTransaction({ ...request, previous }))
}

/** Take a project out of the table; the table goes with its last project. */
export async function removeFirewall(
  kernel: Kernel,
  request: { readonly table: string; readonly project: string },
): Promise<void> {
  await transact(kernel, request.table, (previous) => firewallRemoval({ ...request, previous }))
}

async function transact(
  kernel: Kernel,
  table: string,
  script: (previous: FirewallFacts) => string,
): Promise<void> {
  const attempt = async () => {
    const text = script(await observeFirewall(kernel, table))
    if (text !== '') await nftApply(kernel, text)
  }
  try {
    await attempt()
  } catch (error) {
    // Somebody changed the table between the look and the transaction (a flush, an element removed).
    if (!(error instanceof PakError && error.code === 'network')) throw error
    await attempt()
  }
}

/** The text of one nft transaction; empty when the table is already as asked. */
export function firewallTransaction(
  request: FirewallRequest & { readonly previous: FirewallFacts },
): string {
  const { table, project, previous } = request
  const wanted = [
    ...request.networks.flatMap((network) => networkElements(project, network)),
    ...request.published.map((port) => publicationElement(project, port)),
  ]
  const own = previous.elements.filter((element) => ['', project].includes(ownerOf(element)))
  const others = previous.elements.filter((element) => !own.includes(element))
  refuseTaken(wanted, others)
  if (previous.dnsPort !== request.dnsPort)
    return [
      // Deleting needs it to be there; adding what is there is no error.
      `add table inet ${tableWord(table)}`,
      `delete table inet ${table}`,
      ...baseScript(table, request.dnsPort),
      ...elementScript('add', table, [...others, ...wanted]),
      '',
    ].join('\n')
  const gone = own.filter((element) => !wanted.some((other) => sameElement(element, other)))
  const added = wanted.filter((element) => !own.some((other) => sameElement(element, other)))
  if (gone.length === 0 && added.length === 0) return ''
  return [...elementScript('delete', table, gone), ...elementScript('add', table, added), ''].join(
    '\n',
  )
}

/** The text that takes a project out; empty when it is not in. */
export function firewallRemoval(request: {
  readonly table: string
  readonly project: string
  readonly previous: FirewallFacts
}): string {
  const { table, project, previous } = request
  if (!previous.present) return ''
  const own = previous.elements.filter((element) => ['', project].includes(ownerOf(element)))
  if (own.length === previous.elements.length) return `delete table inet ${tableWord(table)}\n`
  return own.length === 0 ? '' : `${elementScript('delete', table, own).join('\n')}\n`
}

/** The project that publishes this host port, or one that covers it; `null`: none but `except`. */
export function publisherOf(facts: FirewallFacts, port: HostPort, except: string): string | null {
  const holder = facts.elements.find((element) => {
    const other = publicationOf(element)
    return ownerOf(element) !== except && other !== null && collide(other, port)
  })
  return holder === undefined ? null : ownerOf(holder)
}

const collide = (a: HostPort, b: HostPort): boolean =>
  a.published === b.published &&
  a.protocol === b.protocol &&
  (a.hostIp === b.hostIp || a.hostIp === ANY_ADDRESS || b.hostIp === ANY_ADDRESS)

function refuseTaken(wanted: readonly FirewallElement[], others: readonly FirewallElement[]): void {
  const places = new Map(others.map((element) => [placeOf(element), ownerOf(element)]))
  const ports = others.flatMap((element) => {
    const port = publicationOf(element)
    return port === null ? [] : [{ port, owner: ownerOf(element) }]
  })
  for (const element of wanted) {
    const mine = publicationOf(element)
    const owner = mine === null ? null : ports.find(({ port }) => collide(port, mine))?.owner
    if (mine !== null && owner)
      throw new PakError(
        'port_taken',
        `publish \`${portText(mine)}\`: taken by project \`${owner}\``,
      )
    const holder = places.get(placeOf(element))
    if (holder !== undefined)
      throw new PakError(
        'conflict',
        `network \`${element.comment}\`: \`${element.key}\` belongs to project \`${holder}\``,
      )
  }
}

function baseScript(table: string, dnsPort: number): string[] {
  return [
    `table inet ${table} {`,
    ...Object.entries(SETS).map(([name, type]) => `  set ${name} { ${type}; }`),
    ...Object.entries(MAPS).map(([name, type]) => `  map ${name} { ${type}; }`),
    ...baseChains(portNumber(dnsPort)).flatMap(chainScript),
    '}',
  ]
}

function chainScript({ name, hook, rules }: Chain): string[] {
  return [
    `  chain ${name} {`,
    ...(hook === null
      ? []
      : [`    type ${hook.type} hook ${hook.hook} priority ${hook.priority}; policy accept;`]),
    ...rules.map(({ match, comment }) => `    ${match} comment "${comment}"`),
    '  }',
  ]
}

/** One command per set, one element per line: a refusal names its line. */
function elementScript(
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

function elementText(verb: 'add' | 'delete', { key, value, comment }: FirewallElement): string {
  if (verb === 'delete') return key
  return `${key} comment "${comment}"${value === null ? '' : ` : ${value}`}`
}

function tableWord(table: string): string {
  if (/^[a-z][a-z0-9_]{0,31}$/.test(table)) return table
  throw new PakError('network', `nft table \`${table}\`: refused`)
}

function portNumber(port: number): number {
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new PakError('network', `dns port \`${port}\`: not within 1 and 65535`)
}
