import type { PublishedPort } from './desired.ts'

export type HostPort = Pick<PublishedPort, 'hostIp' | 'published' | 'protocol'>

/** A port of this host for people: `0.0.0.0:8080`, `127.0.0.1:53/udp`, `[::]:8080`. */
export const portText = ({ hostIp, published, protocol }: HostPort): string =>
  `${hostText(hostIp)}:${published}${protocol === 'tcp' ? '' : `/${protocol}`}`

export const hostText = (hostIp: string): string => (hostIp.includes(':') ? `[${hostIp}]` : hostIp)

/** Every address of this host: IPv4, and IPv6 where the container has an address of it. */
export const ANY_HOST = '0.0.0.0'
/** Every IPv6 address of this host. */
export const ANY_HOST6 = '::'

/** Whether two host addresses of ports have one in common. */
export function hostsMeet(a: string, b: string): boolean {
  if (a === b || a === ANY_HOST || b === ANY_HOST) return true
  return (a === ANY_HOST6 && b.includes(':')) || (b === ANY_HOST6 && a.includes(':'))
}
