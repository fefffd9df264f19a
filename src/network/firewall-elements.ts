import { PakError } from '../errors.ts'
import type { PortProtocol } from '../model/desired.ts'
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
  const bridge = word(network.bridge, /^[A-Za-z][A-Za-z0-9]{0,14}$/, 'bridge')
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
  const hostIp = formatAddress(parseAddress(port.hostIp))
  const address = formatAddress(parseAddress(port.address))
  const place = `${port.protocol} . ${portWord(port.published)}`
  const everywhere = hostIp === ANY_ADDRESS
  return {
    set: everywhere ? 'published_any' : 'published',
    key: everywhere ? place : `${hostIp} . ${place}`,
    value: `${address} . ${portWord(port.target)}`,
    comment: projectWord(project),
  }
}

/** The inverse of `publicationElement`; `null` when the element is no published port. */
export function publicationOf(element: FirewallElement): Omit<Publication, 'container'> | null {
  if (element.set !== 'published' && element.set !== 'published_any') return null
  const [address = '', target = ''] = (element.value ?? '').split(' . ')
  const [port = '', protocol, hostIp = ANY_ADDRESS] = element.key.split(' . ').reverse()
  // Somebody put another one there by hand: nothing of ours looks like that.
  if (protocol !== 'tcp' && protocol !== 'udp') return null
  return { address, hostIp, published: Number(port), target: Number(target), protocol }
}

/** The project; empty for an element that nobody owns. */
export const ownerOf = ({ comment }: FirewallElement): string => comment.split('/')[0] ?? ''

/** The network's name in an element's comment; `null` for a published port. */
export const networkOf = ({ comment }: FirewallElement): string | null =>
  comment.split('/')[1] ?? null

/** Same place in the same set: the kernel takes only one of the two. */
export const placeOf = ({ set, key }: FirewallElement): string => `${set} ${key}`

export const sameElement = (a: FirewallElement, b: FirewallElement): boolean =>
  placeOf(a) === placeOf(b) && a.value === b.value && a.comment === b.comment

/** nft keeps 128 characters of a comment; a project and a network have 63 each at most. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/

export const projectWord = (project: string): string => word(project, NAME, 'project')
const nameWord = (name: string): string => word(name, NAME, 'network')

function portWord(port: number): string {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return String(port)
  throw new PakError('network', `port \`${port}\`: not within 1 and 65535`)
}

function word(text: string, grammar: RegExp, what: string): string {
  if (!grammar.test(text)) throw new PakError('network', `${what} \`${text}\`: refused`)
  return text
}
