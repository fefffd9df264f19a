import { isIP, isIPv4 } from 'node:net'
import type { Json, JsonObject } from '../../model/cni.ts'
import { formatIpv6, parseIpv6 } from '../../model/ipv6.ts'
import { INTERFACE_NAME } from '../words.ts'

/** What an ADD came to (CNI's specification, section 5), as far as pak uses it. */
export interface CniResult {
  readonly ips: readonly CniIp[]
  /** Of this host: what plugins made here, or found. */
  readonly hostLinks: readonly string[]
  readonly dns: CniDns
}

export interface CniIp {
  /** In its one form, without the prefix. */
  readonly address: string
  readonly prefix: number
  readonly gateway: string | null
}

export interface CniDns {
  readonly nameservers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}

/** More of anything is no container's. */
const MOST = 64

/** Throws a `SyntaxError` with what is wrong with it. */
export function parseResult(plain: JsonObject): CniResult {
  const links = listOf(plain, 'interfaces').map(linkOf)
  const ips = listOf(plain, 'ips').flatMap((each) => {
    const { at, ...ip } = ipOf(each)
    // Without a word it is the container's; one of this host's own is not.
    return at === null || links[at]?.inside === true ? [ip] : []
  })
  const hostLinks = links.flatMap(({ name, inside }) => (inside ? [] : name))
  return { ips, hostLinks, dns: dnsOf(plain['dns']) }
}

function linkOf(plain: Json): { readonly name: string; readonly inside: boolean } {
  const { name, sandbox = '' } = objectOf(plain, 'interfaces')
  if (typeof name !== 'string' || !INTERFACE_NAME.test(name))
    throw new SyntaxError('an interface has no name that could be one')
  return { name, inside: sandbox !== '' }
}

function ipOf(plain: Json): CniIp & { readonly at: number | null } {
  const { address, gateway, interface: at } = objectOf(plain, 'ips')
  const [, host = '', bits = ''] = /^([0-9a-fA-F:.]+)\/([0-9]{1,3})$/.exec(String(address)) ?? []
  const prefix = Number(bits)
  if (isIP(host) === 0 || bits === '' || prefix > (isIPv4(host) ? 32 : 128))
    throw new SyntaxError('`ips` has an address that is none in CIDR notation')
  const known = gateway === undefined || gateway === null || gateway === '' ? null : String(gateway)
  if (known !== null && isIP(known) === 0)
    throw new SyntaxError('`ips` has a gateway that is no address')
  const index = typeof at === 'number' && Number.isSafeInteger(at) && at >= 0 ? at : null
  return { address: plainAddress(host), prefix, gateway: known && plainAddress(known), at: index }
}

const plainAddress = (address: string): string => {
  const six = parseIpv6(address)
  return six === null ? address : formatIpv6(six)
}

/** Words that are none of resolv.conf's are left out: they would end up in a file of the container's. */
function dnsOf(plain: Json | undefined): CniDns {
  const said = plain === undefined || plain === null ? {} : objectOf(plain, 'dns')
  const words = (key: string, grammar: (word: string) => boolean) =>
    listOf(said, key).flatMap((word) => (typeof word === 'string' && grammar(word) ? word : []))
  const search = words('search', (word) => DOMAIN.test(word))
  const domain =
    typeof said['domain'] === 'string' && DOMAIN.test(said['domain']) ? [said['domain']] : []
  return {
    nameservers: words('nameservers', (word) => isIP(word) !== 0),
    search: search.length > 0 ? search : domain,
    options: words('options', (word) => /^[a-z][a-z0-9-]*(:\d{1,6})?$/.test(word)),
  }
}

const DOMAIN = /^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})$/

function listOf(plain: JsonObject, key: string): readonly Json[] {
  const list = plain[key]
  if (list === undefined || list === null) return []
  if (!Array.isArray(list)) throw new SyntaxError(`\`${key}\` is no list`)
  if (list.length > MOST) throw new SyntaxError(`\`${key}\` has more than ${MOST} entries`)
  return list
}

function objectOf(plain: Json, what: string): JsonObject {
  if (typeof plain === 'object' && plain !== null && !Array.isArray(plain))
    return plain as JsonObject
  throw new SyntaxError(`\`${what}\` holds what is no object`)
}
