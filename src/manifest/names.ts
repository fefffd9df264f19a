import { isIP, isIPv4 } from 'node:net'
import { constants } from 'node:os'
import { posix } from 'node:path'
import { hasControl } from '../model/text.ts'
import { Refusal } from './context.ts'
import { nearest } from './nearest.ts'
import { shown } from './problem.ts'

/*
 * The grammars of everything that later stands in a command line, a rule, a file name or a line of a
 * hosts file. What is not matched here reaches none of them.
 */

export const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/
export const PROJECT_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/

const named = (what: string, grammar: RegExp) => (text: string) => {
  if (text === '__proto__' || !grammar.test(text))
    throw new Refusal(`expected ${what}, got ${shown(text)}`)
  return text
}

export const parseName = named('a name: letters, digits, `_`, `.` and `-`, at most 63', NAME)

export const parseHostname = named(
  'a host name: letters, digits, `-`, `_` and `.`, at most 63',
  /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$/,
)

export const parseDomain = named(
  'a domain name: letters, digits, `-`, `_` and `.`',
  /^(?=.{1,253}$)[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?\.?$/,
)

export const parseVariableName = named(
  'the name of a variable: letters, digits, `_`, `.`, `/` and `-`',
  /^[A-Za-z_][A-Za-z0-9_./-]{0,254}$/,
)

export const parseLabelName = named(
  'the name of a label: letters, digits and any of `._-/@:+[]`, at most 253',
  /^(?!.*\.\.)[A-Za-z0-9@_][A-Za-z0-9._/@:+[\]-]{0,252}$/,
)

/** Sysctls that belong to the namespaces of a container; any other would change the host. */
export const parseSysctlName = named(
  'a sysctl of a namespace: `net.*`, `kernel.msg*`, `kernel.sem`, `kernel.shm*` or `fs.mqueue.*`',
  /^(?!.*\.\.)(?:net\.[a-zA-Z0-9_.-]{1,120}[a-zA-Z0-9_-]|kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\.[a-z0-9_]{1,60})$/,
)

export const parseSysctlValue = named('numbers and words on one line', /^[\w ,.:\t+-]{1,1000}$/)

export const parseResolverOption = named(
  'an option such as `ndots:1`',
  /^[a-z0-9-]{1,40}(?::[0-9]{1,5})?$/,
)

/** User and group, by number or name. */
export const parseUser = named(
  'a user such as `1000:1000` or `www-data`',
  /^(?:[0-9]{1,10}|[a-zA-Z_][a-zA-Z0-9_.-]{0,62}\$?)(?::(?:[0-9]{1,10}|[a-zA-Z_][a-zA-Z0-9_.-]{0,62}))?$/,
)

export const parseGroup = named(
  'a group by number or name',
  /^(?:[0-9]{1,10}|[a-zA-Z_][a-zA-Z0-9_.-]{0,62})$/,
)

export const parseAppArmorProfile = named('the name of a profile', /^[a-zA-Z0-9_./-]{1,128}$/)

/** An image's reference: `[host[:port]/]path[:tag][@digest]`, or a digest alone. */
export const parseReference = named(
  'the reference of an image such as `alpine:3.20`',
  /^(?=.{1,512}$)(?:sha256:[a-f0-9]{64}|(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?\/)?[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]{32,128})?)$/,
)

export function parseIpv4(text: string): string {
  if (!isIPv4(text)) throw new Refusal(`expected an IPv4 address, got ${shown(text)}`)
  return text
}

export function parseAddress(text: string): string {
  if (isIP(text) === 0 || text.includes('%'))
    throw new Refusal(`expected an IP address, got ${shown(text)}`)
  return text.toLowerCase()
}

/** Lower case; of one card, not of a group (IEEE 802). */
export function parseMac(text: string): string {
  const mac = text.toLowerCase().replaceAll('-', ':')
  if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac) || mac === '00:00:00:00:00:00')
    throw new Refusal(`expected a MAC address such as \`02:42:ac:11:00:02\`, got ${shown(text)}`)
  if (mac.startsWith('02:50:'))
    throw new Refusal(
      `${shown(text)} is one of those that pak makes from addresses`,
      'take one that does not begin with `02:50:`, or leave it out',
    )
  return mac
}

/** `lo` is there already; the others are folders of sysctl for all interfaces (ip-sysctl.rst). */
const NO_INTERFACES = ['lo', 'all', 'default']

/** The kernel takes 15 characters. */
export function parseInterfaceName(text: string): string {
  if (!/^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(text) || NO_INTERFACES.includes(text))
    throw new Refusal(
      `expected the name of an interface: a letter, then letters, digits, \`_\`, \`.\`, \`-\`, at most 15, got ${shown(text)}`,
    )
  return text
}

/** An absolute path in a container, without `.`, `..` and a slash at its end. */
export function parseTarget(text: string): string {
  if (!text.startsWith('/')) throw new Refusal(`expected an absolute path, got ${shown(text)}`)
  return cleanPath(text)
}

/** Where something may be mounted: not over the whole root, and not where the kernel shows processes. */
export function parseMountTarget(text: string): string {
  const target = parseTarget(text)
  if (target === '/')
    throw new Refusal('nothing can be mounted over the whole root', 'use `rootfs`')
  if (target === '/proc' || target.startsWith('/proc/'))
    throw new Refusal('nothing can be mounted on or below /proc')
  return target
}

/** A path without `.`, `..` and a slash at its end. Control characters have no place in one. */
export function cleanPath(text: string): string {
  if (hasControl(text)) throw new Refusal('a path cannot hold control characters')
  if (text.length > 4000) throw new Refusal('the path is too long')
  const clean = posix.normalize(text)
  return clean.length > 1 ? clean.replace(/\/+$/, '') : clean
}

/** A device of the host or of the container: below /dev. */
export function parseDevicePath(text: string): string {
  const path = parseTarget(text)
  if (!/^\/dev\/[a-zA-Z0-9_./:@-]{1,200}$/.test(path))
    throw new Refusal(`expected a path below /dev, got ${shown(text)}`)
  return path
}

const CAPABILITIES: readonly string[] = (
  'AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE ' +
  'DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE ' +
  'MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID ' +
  'SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE ' +
  'SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM'
).split(' ')

/** As the OCI runtime spec writes it, `CAP_NET_ADMIN`; or `ALL`. */
export function parseCapability(text: string): string {
  const name = text.toUpperCase().replace(/^CAP_/, '')
  if (name === 'ALL') return name
  if (!CAPABILITIES.includes(name))
    throw new Refusal(`unknown capability ${shown(text)}`, nearest(name, CAPABILITIES))
  return `CAP_${name}`
}

const SIGNALS = Object.entries(constants.signals).filter(
  ([name]) => !/^SIG(IOT|POLL|UNUSED)$/.test(name),
)

/** By name, with or without `SIG`, or number; the result is its name, `SIGTERM` or `SIGRTMIN+3`. */
export function parseSignal(text: string): string {
  const number = /^[0-9]{1,2}$/.test(text) ? Number(text) : null
  const name = number === null ? `SIG${text.toUpperCase().replace(/^SIG/, '')}` : null
  const found = SIGNALS.find(([known, value]) => known === name || value === number)
  if (found !== undefined) return found[0]
  const realTime = name === null ? null : /^SIGRTMIN(?:\+([0-9]{1,2}))?$/.exec(name)
  const offset = number === null ? Number(realTime?.[1] ?? 0) : number - 34
  if ((realTime !== null || number !== null) && offset >= 0 && offset <= 30)
    return offset === 0 ? 'SIGRTMIN' : `SIGRTMIN+${offset}`
  const known = SIGNALS.map(([signal]) => signal)
  throw new Refusal(`unknown signal ${shown(text)}`, name === null ? null : nearest(name, known))
}

export const ULIMITS: readonly string[] =
  'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(
    ' ',
  )
