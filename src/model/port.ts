import type { PublishedPort } from './desired.ts'

export type HostPort = Pick<PublishedPort, 'hostIp' | 'published' | 'protocol'>

/** A port of this host for people: `0.0.0.0:8080`, `127.0.0.1:53/udp`. */
export const portText = ({ hostIp, published, protocol }: HostPort): string =>
  `${hostIp}:${published}${protocol === 'tcp' ? '' : `/${protocol}`}`
