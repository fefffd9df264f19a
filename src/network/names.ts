import { isIP } from 'node:net'
import { PakError } from '../errors.ts'

/** What `extra_hosts` may say instead of an address: the host, as the container sees it. */
const HOST_GATEWAY = 'host-gateway'

export interface HostsFileRequest {
  /** Without domain. */
  readonly hostname: string
  readonly domainname: string | null
  /** The container's own addresses, the default route's first; empty without a network. */
  readonly addresses: readonly string[]
  /** Name -> address or `host-gateway`. */
  readonly extraHosts: Readonly<Record<string, string>>
  /** What `host-gateway` means; `null`: the container has no gateway. */
  readonly gateway: string | null
}

/** The text of a container's /etc/hosts (hosts(5)). Throws `manifest` for a word that is no name or address. */
export function hostsFile(request: HostsFileRequest): string {
  const { hostname, domainname } = request
  const names = domainname === null ? [hostname] : [`${hostname}.${domainname}`, hostname]
  const own = request.addresses.map((address) => [address, ...names])
  const extra = Object.entries(request.extraHosts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, address]) => [extraAddress(name, address, request.gateway), name])
  const lines = [
    ['127.0.0.1', 'localhost'],
    ['::1', 'localhost', 'ip6-localhost', 'ip6-loopback'],
    ...(own.length === 0 ? [['127.0.1.1', ...names]] : own),
    ...extra,
  ]
  return `${lines.map(hostsLine).join('\n')}\n`
}

function extraAddress(name: string, address: string, gateway: string | null): string {
  if (address !== HOST_GATEWAY) return address
  if (gateway !== null) return gateway
  throw new PakError('manifest', `extra host \`${name}\`: there is no gateway without a network`)
}

function hostsLine([address = '', ...names]: readonly string[]): string {
  if (isIP(address) === 0) throw new PakError('manifest', `hosts \`${address}\`: not an IP address`)
  return [address, ...names.map((name) => word(name, /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$/))].join(
    '\t',
  )
}

export interface ResolvConfRequest {
  readonly network:
    | { readonly kind: 'none' }
    /** `text`: the host's own file, used as it is unless the container declares something. */
    | { readonly kind: 'host'; readonly text: string }
    /** Where pak's name server answers: the gateway of the first network. */
    | {
        readonly kind: 'bridge'
        readonly gateway: string
        /** The host's search domains, for who declares none. */
        readonly search?: readonly string[]
      }
  /** `dns:`. On a bridge pak's own server stays the only one written here and asks these. */
  readonly servers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}

/** The text of a container's /etc/resolv.conf (resolv.conf(5)). Throws `manifest` for a bad word. */
export function resolvConf(request: ResolvConfRequest): string {
  const { network } = request
  const inherited = network.kind === 'bridge' ? (network.search ?? []) : []
  const search = request.search.length > 0 ? request.search : inherited
  if (network.kind === 'none') return ''
  const declared = [request.servers, request.search, request.options].some(
    (list) => list.length > 0,
  )
  if (network.kind === 'host' && !declared) return network.text
  const servers =
    network.kind === 'bridge'
      ? [network.gateway]
      : request.servers.length > 0
        ? request.servers
        : serversOf(network.text)
  // Names of services have no dot, and must be asked for as they are, before any search domain is tried.
  const ndots = request.options.some((option) => option.startsWith('ndots:')) ? [] : ['ndots:0']
  const options = [...(network.kind === 'bridge' ? ndots : []), ...request.options]
  const lines = [
    ...servers.map((server) => `nameserver ${serverWord(server)}`),
    ...(search.length === 0 ? [] : [`search ${search.map(domainWord).join(' ')}`]),
    ...(options.length === 0 ? [] : [`options ${options.map(optionWord).join(' ')}`]),
  ]
  return `${lines.join('\n')}\n`
}

/** The name servers of a resolv.conf, in its order. */
export function serversOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter((server) => isIP(server) !== 0)
}

/** The search domains of a resolv.conf, of which the last line counts; what is no domain is left out. */
export function searchOf(text: string): string[] {
  const lines = text
    .split('\n')
    .flatMap((line) => /^\s*(?:search|domain)\s+(.+)/.exec(line)?.[1] ?? [])
  const words = (lines.at(-1) ?? '').trim().split(/\s+/)
  return words.filter((domain) => DOMAIN.test(domain)).slice(0, MAX_SEARCH)
}

/** What every resolver takes (resolv.conf(5)). */
const MAX_SEARCH = 6

function serverWord(server: string): string {
  if (isIP(server) !== 0) return server
  throw new PakError('manifest', `dns \`${server}\`: not an IP address`)
}

const DOMAIN = /^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})$/
const domainWord = (domain: string): string => word(domain, DOMAIN)
const optionWord = (option: string): string => word(option, /^[a-z][a-z0-9-]*(:\d{1,6})?$/)

function word(text: string, grammar: RegExp): string {
  if (!grammar.test(text)) throw new PakError('manifest', `name \`${text}\`: refused`)
  return text
}
