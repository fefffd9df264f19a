import type { ZonePort } from './zone.ts'

/** What an SRV question asks for (RFC 2782); `port: null`: every port of the name. */
export interface AskedService {
  readonly name: string
  readonly port: number | null
  readonly protocol: string
}

/** Names that programs ask for, by IANA's registry of service names. Any number may be asked for as well. */
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ['ssh', 22],
  ['smtp', 25],
  ['domain', 53],
  ['http', 80],
  ['ldap', 389],
  ['https', 443],
  ['submission', 587],
  ['ldaps', 636],
  ['mqtt', 1883],
  ['mysql', 3306],
  ['postgresql', 5432],
  ['amqp', 5672],
  ['redis', 6379],
  ['mongodb', 27017],
])

export function askedService(name: string): AskedService {
  const [, label = '', protocol = '', rest = ''] =
    /^_([a-z0-9-]{1,15})\._(tcp|udp|sctp)\.(.+)$/.exec(name) ?? []
  if (rest === '') return { name, port: null, protocol: '' }
  const number = /^\d{1,5}$/.test(label) ? Number(label) : (NUMBERS.get(label) ?? 0)
  return { name: rest, port: number, protocol }
}

export const matches = ({ port, protocol }: AskedService, offered: ZonePort): boolean =>
  port === null || (port === offered.port && protocol === offered.protocol)
