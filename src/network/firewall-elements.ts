import { PakError } from '../errors.ts'
import type { Affinity, PortProtocol } from '../model/desired.ts'
import type { HostPort } from '../model/port.ts'
import type { SetName } from './firewall-base.ts'
import { formatAddress, formatCidr, parseAddress, parseCidr } from './ipv4.ts'

/** A bridge network as the firewall has to know it. */
export interface FirewallNetwork {
  readonly name: string
  readonly bridge: string
  /** CIDR. */
  readonly subnet: string
  readonly gateway: string
  readonly internal: boolean
}

/** A host port that is forwarded to a container. */
export interface Publication {
  /** For messages only: the firewall knows containers by address. */
  readonly container: string
  readonly address: string
  /** `0.0.0.0`: every address of this host. */
  readonly hostIp: string
  readonly published: number
  readonly target: number
  readonly protocol: PortProtocol
  /** Of several containers on one host port; `none` for a single one. */
  readonly affinity: Affinity
}

/** A service's address in a network: connections to it are spread over its replicas. */
export interface ServiceAddress {
  readonly bridge: string
  readonly address: string
  /** Addresses of containers; one at least. */
  readonly targets: readonly string[]
  readonly affinity: Affinity
}

/** One element of one of the table's sets or maps, in nft's own notation. */
export interface FirewallElement {
  readonly set: SetName
  readonly key: string
  /** Of a map; `null` in a set. */
  readonly value: string | null
  /** Whose it is: `project/network` for a network, `project` for a published port. */
  readonly comment: string
}

export const ANY_ADDRESS = '0.0.0.0'

/** Everything that one network puts into the table. Throws `network` for a word outside its grammar. */
export function networkElements(project: string, network: FirewallNetwork): FirewallElement[] {
  const bridge = checkedBridge(network.bridge)
  const comment = `${projectWord(project)}/${nameWord(network.name)}`
  const gateway = formatAddress(parseAddress(network.gateway))
  const element = (set: SetName, key: string): FirewallElement => ({
    set,
    key,
    value: null,
    comment,
  })
  return [
    element('bridges', bridge),
    ...(network.internal ? [element('internal', bridge)] : []),
    element('links', `${bridge} . ${bridge}`),
    element('gateways', `${bridge} . ${gateway}`),
    element('subnets', formatCidr(parseCidr(network.subnet))),
  ]
}

export function publicationElement(project: string, port: Publication): FirewallElement {
  const address = formatAddress(parseAddress(port.address))
  const value = `${address} . ${portWord(port.target)}`
  return portElement(project, port, { sets: ['published', 'published_any'], value })
}

/** A host port whose connections a chain spreads. */
export const balancedElement = (project: string, port: HostPort, chain: string): FirewallElement =>
  portElement(project, port, { sets: ['balanced', 'balanced_any'], value: `goto ${chain}` })

function portElement(
  project: string,
  port: HostPort,
  { sets, value }: { readonly sets: readonly [SetName, SetName]; readonly value: string },
): FirewallElement {
  const hostIp = formatAddress(parseAddress(port.hostIp))
  const place = `${port.protocol} . ${portWord(port.published)}`
  const everywhere = hostIp === ANY_ADDRESS
  return {
    set: everywhere ? sets[1] : sets[0],
    key: everywhere ? place : `${hostIp} . ${place}`,
    value,
    comment: projectWord(project),
  }
}

/** Everything that a service's address puts into sets and maps, beside the chain that spreads it. */
export function serviceElements(
  project: string,
  service: ServiceAddress,
  at: { readonly chain: string; readonly kept: boolean },
): FirewallElement[] {
  const comment = projectWord(project)
  const address = formatAddress(parseAddress(service.address))
  const bridge = checkedBridge(service.bridge)
  const element = (set: SetName, key: string, value: string | null = null): FirewallElement => ({
    set,
    key,
    value,
    comment,
  })
  return [
    element('vips', address),
    ...(at.kept ? [element('kept', address)] : []),
    element('services', `${bridge} . ${address}`, `goto ${at.chain}`),
    ...service.targets.map((text) => {
      const target = formatAddress(parseAddress(text))
      return element('loops', `${target} . ${target}`)
    }),
  ]
}

/** The inverse of `publicationElement`; `null` when the element is no published port of one container. */
export function publicationOf(element: FirewallElement): Omit<Publication, 'container'> | null {
  if (element.set !== 'published' && element.set !== 'published_any') return null
  const port = hostPortOf(element)
  const [address = '', target = ''] = (element.value ?? '').split(' . ')
  return port === null ? null : { ...port, address, target: Number(target), affinity: 'none' }
}

const PORT_SETS: ReadonlySet<SetName> = new Set([
  'published',
  'published_any',
  'balanced',
  'balanced_any',
])

/** The host port that an element publishes, for one container or for several; `null`: none. */
export function hostPortOf(element: FirewallElement): HostPort | null {
  if (!PORT_SETS.has(element.set)) return null
  const [port = '', protocol, hostIp = ANY_ADDRESS] = element.key.split(' . ').reverse()
  // Somebody put another one there by hand: nothing of ours looks like that.
  if (protocol !== 'tcp' && protocol !== 'udp') return null
  return { hostIp, published: Number(port), protocol }
}

/** The project; empty for an element that nobody owns. */
export const ownerOf = ({ comment }: FirewallElement): string => comment.split('/')[0] ?? ''

/** The network's name in an element's comment; `null` for a published port. */
export const networkOf = ({ comment }: FirewallElement): string | null =>
  comment.split('/')[1] ?? null

/** Same place in the same set: the kernel takes only one of the two. */
export const placeOf = ({ set, key }: FirewallElement): string => `${set} ${key}`

/** The same for two elements that are the same in everything. */
export const elementKey = (element: FirewallElement): string =>
  `${placeOf(element)} : ${element.value} # ${element.comment}`

/** nft keeps 128 characters of a comment; a project and a network have 63 each at most. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/

export const projectWord = (project: string): string => word(project, NAME, 'project')
const checkedBridge = (bridge: string): string =>
  word(bridge, /^[A-Za-z][A-Za-z0-9]{0,14}$/, 'bridge')
const nameWord = (name: string): string => word(name, NAME, 'network')

function portWord(port: number): string {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return String(port)
  throw new PakError('network', `port \`${port}\`: not within 1 and 65535`)
}

function word(text: string, grammar: RegExp, what: string): string {
  if (!grammar.test(text)) throw new PakError('network', `${what} \`${text}\`: refused`)
  return text
}
