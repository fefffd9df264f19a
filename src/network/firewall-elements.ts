import { PakError } from '../errors.ts'
import { type Affinity, PORT_PROTOCOLS, type PortProtocol } from '../model/desired.ts'
import { formatBlock6 } from '../model/ipv6.ts'
import { ANY_HOST, ANY_HOST6, type HostPort } from '../model/port.ts'
import type { SetName } from './firewall-base.ts'
import { address6, block6 } from './ipam6.ts'
import { formatAddress, formatCidr, parseAddress, parseCidr } from './ipv4.ts'
import { INTERFACE_NAME, word } from './words.ts'

/** A bridge network as the firewall has to know it. */
export interface FirewallNetwork {
  readonly name: string
  readonly bridge: string
  /** CIDR. */
  readonly subnet: string
  readonly gateway: string
  readonly internal: boolean
  /** CIDR. */
  readonly subnet6?: string
  /** Its containers do not reach each other. */
  readonly isolated?: boolean
  /** Of one that plugins make, all that pak's table knows: where names are asked for. */
  readonly doors?: readonly { readonly device: string; readonly address: string }[]
  /** Frames of other machines come in by it, and from nobody but them. */
  readonly tunnel?: {
    readonly port: number
    readonly vni: number
    /** The only device that its packets come by; `null`: any. */
    readonly lower: string | null
    /** CIDR: this machine's own part of `subnet`. */
    readonly range: string
    readonly peers: readonly { readonly address: string }[]
  }
}

/** A host port that is forwarded to a container. */
export interface Publication {
  /** For messages only: the firewall knows containers by address. */
  readonly container: string
  readonly address: string
  /** Of the family of `address`; `0.0.0.0` and `::`: every one of this host. */
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
  /** Of its containers that get no new connections: those that are open live on. */
  readonly former?: readonly string[]
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

/** Everything that one network puts into the table. Throws `network` for a word outside its grammar. */
export function networkElements(project: string, network: FirewallNetwork): FirewallElement[] {
  const comment = `${projectWord(project)}/${nameWord(network.name)}`
  if (network.doors !== undefined) return doorElements(network.doors, comment)
  const bridge = checkedBridge(network.bridge)
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
    ...(network.isolated ? [] : [element('links', `${bridge} . ${bridge}`)]),
    element('gateways', `${bridge} . ${gateway}`),
    element('subnets', formatCidr(parseCidr(network.subnet))),
    ...(network.subnet6 === undefined
      ? []
      : [element('subnets6', formatBlock6(block6(network.subnet6)))]),
    ...tunnelKeys(network).map(([set, key]) => element(set, key)),
  ]
}

function doorElements(
  doors: NonNullable<FirewallNetwork['doors']>,
  comment: string,
): FirewallElement[] {
  const devices = new Set(doors.map(({ device }) => checkedBridge(device)))
  const places = doors.map(
    ({ device, address }) => `${checkedBridge(device)} . ${formatAddress(parseAddress(address))}`,
  )
  return [
    ...[...devices].map((key) => ({ set: 'askers' as const, key, value: null, comment })),
    ...places.map((key) => ({ set: 'doors' as const, key, value: null, comment })),
  ]
}

/** Networks of several projects may be one of the plugins': its door is there for all, whoever opened it. */
export const isShared = ({ set }: FirewallElement): boolean => set === 'doors' || set === 'askers'

/** Of shared elements that go, those that another project wants, as its own from now on. */
export function inherited(
  gone: readonly FirewallElement[],
  heirs: readonly FirewallElement[],
): readonly FirewallElement[] {
  const places = new Set(gone.filter(isShared).map(placeOf))
  const wanted = heirs.filter((element) => places.has(placeOf(element)))
  return [...new Map(wanted.map((element) => [placeOf(element), element])).values()]
}

function tunnelKeys({ tunnel }: FirewallNetwork): readonly (readonly [SetName, string])[] {
  if (tunnel === undefined) return []
  const place = `${portWord(tunnel.port)} . ${vniWord(tunnel.vni)}`
  const { lower } = tunnel
  return [
    ['tunnels', place],
    ...(lower === null
      ? []
      : ([
          ['sealed', place],
          ['seals', `${word(lower, INTERFACE_NAME, 'device')} . ${place}`],
        ] as const)),
    ...tunnel.peers.map(
      ({ address }) => ['peers', `${formatAddress(parseAddress(address))} . ${place}`] as const,
    ),
  ]
}

export function publicationElement(project: string, port: Publication): FirewallElement {
  const value = `${addressWord(port.address)} . ${portWord(port.target)}`
  return portElement(project, port, { kind: 'published', value })
}

/** A host port whose connections a chain spreads. */
export const balancedElement = (project: string, port: HostPort, chain: string): FirewallElement =>
  portElement(project, port, { kind: 'balanced', value: `goto ${chain}` })

function portElement(
  project: string,
  port: HostPort,
  { kind, value }: { readonly kind: 'published' | 'balanced'; readonly value: string },
): FirewallElement {
  const hostIp = addressWord(port.hostIp)
  const place = `${port.protocol} . ${portWord(port.published)}`
  const family = isSix(hostIp) ? (`${kind}6` as const) : kind
  const everywhere = hostIp === ANY_HOST || hostIp === ANY_HOST6
  return {
    set: everywhere ? `${family}_any` : family,
    key: everywhere ? place : `${hostIp} . ${place}`,
    value,
    comment: projectWord(project),
  }
}

const isSix = (address: string): boolean => address.includes(':')

/** Of either family, checked and in its one form. */
export const addressWord = (text: string): string =>
  isSix(text) ? address6(text) : formatAddress(parseAddress(text))

/** Everything that a service's address puts into sets and maps, beside the chain that spreads it. */
export function serviceElements(
  project: string,
  service: ServiceAddress,
  at: { readonly chain: string; readonly kept: boolean },
): FirewallElement[] {
  const comment = projectWord(project)
  const address = addressWord(service.address)
  const six = isSix(address)
  const bridge = checkedBridge(service.bridge)
  const element = (set: SetName, key: string, value: string | null = null): FirewallElement => ({
    set,
    key,
    value,
    comment,
  })
  return [
    element(six ? 'vips6' : 'vips', address),
    ...(at.kept ? [element(six ? 'kept6' : 'kept', address)] : []),
    element(six ? 'services6' : 'services', `${bridge} . ${address}`, `goto ${at.chain}`),
    ...service.targets.map((text) => {
      const target = addressWord(text)
      return element(six ? 'loops6' : 'loops', `${target} . ${target}`)
    }),
  ]
}

/** The inverse of `publicationElement`; `null` when the element is no published port of one container. */
export function publicationOf(element: FirewallElement): Omit<Publication, 'container'> | null {
  if (!element.set.startsWith('published')) return null
  const port = hostPortOf(element)
  const [address = '', target = ''] = (element.value ?? '').split(' . ')
  return port === null ? null : { ...port, address, target: Number(target), affinity: 'none' }
}

/** Of IPv6, or not, by set. */
const PORT_SETS: Partial<Readonly<Record<SetName, boolean>>> = {
  published: false,
  published_any: false,
  balanced: false,
  balanced_any: false,
  published6: true,
  published6_any: true,
  balanced6: true,
  balanced6_any: true,
}

/** The host port that an element publishes, for one container or for several; `null`: none. */
export function hostPortOf(element: FirewallElement): HostPort | null {
  const six = PORT_SETS[element.set]
  if (six === undefined) return null
  const [port = '', word, hostIp = six ? ANY_HOST6 : ANY_HOST] = element.key.split(' . ').reverse()
  const protocol = PORT_PROTOCOLS.find((known) => known === word)
  // Somebody put another one there by hand: nothing of ours looks like that.
  if (protocol === undefined) return null
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
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/

export const projectWord = (project: string): string => word(project, NAME, 'project')
const checkedBridge = (bridge: string): string => word(bridge, INTERFACE_NAME, 'bridge')
const nameWord = (name: string): string => word(name, NAME, 'network')

function portWord(port: number): string {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return String(port)
  throw new PakError('network', `port \`${port}\`: not within 1 and 65535`)
}

function vniWord(vni: number): string {
  if (Number.isInteger(vni) && vni >= 1 && vni <= 0xff_ff_ff) return String(vni)
  throw new PakError('network', `vni \`${vni}\`: not within 1 and 16777215`)
}
