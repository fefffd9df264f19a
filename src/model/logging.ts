/** What is kept of a container's output, and who else gets it. */
export type Logging =
  | ({ readonly driver: 'file' } & KeptFiles)
  | { readonly driver: 'none' }
  | SyslogLogging
  | JournaldLogging

/** On this machine, also of what somebody else gets: from there it is read, and sent. */
export interface KeptFiles {
  /** One file is never larger. */
  readonly maxBytes: number
  /** So many files, the one being written included. */
  readonly maxFiles: number
}

export interface SyslogLogging extends KeptFiles {
  readonly driver: 'syslog'
  readonly address: SyslogAddress
  readonly facility: Facility
  readonly format: SyslogFormat
  /** Docker's template: `{{.Name}}` and the like stand in it. */
  readonly tag: string
}

export interface JournaldLogging extends KeptFiles {
  readonly driver: 'journald'
  readonly tag: string
  /** Names of labels that become fields. */
  readonly labels: readonly string[]
}

export type SyslogAddress =
  | { readonly kind: 'udp' | 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** `local`: RFC 3164 without a host name, as programs write it to their own machine's `/dev/log`. */
export type SyslogFormat = 'local' | 'rfc3164' | 'rfc5424' | 'rfc5424micro'

export type Facility = (typeof FACILITIES)[number]

/** RFC 5424, 6.2.1: the place is the number. 12 to 15 have no name that all agree on. */
export const FACILITIES = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron'],
  ...['authpriv', 'ftp', 'ntp', 'security', 'console', 'solaris-cron'],
  ...['local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
] as const

export const FILE_LOGGING = {
  driver: 'file',
  maxBytes: 10 * 1024 * 1024,
  maxFiles: 3,
} as const satisfies Logging

/** What may stand between `{{.` and `}}` in a tag. */
export const TAG_WORDS = ['Name', 'ID', 'FullID', 'ImageName', 'DaemonName'] as const

export function addressText(address: SyslogAddress): string {
  if (address.kind === 'unix') return `unix://${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `${address.kind}://${host}:${address.port}`
}
