import { PakError } from '../../errors.ts'

/** Where containers that do not reach this host ask for names, as with Docker. */
export const RESOLVER_ADDRESS = '127.0.0.11'

/**
 * For nft in a container's network namespace: what is asked at port 53 goes to where pak listens, which is
 * another port. A container that is a name server itself has that one free on all its addresses.
 */
export function redirectScript(port: number): string {
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new PakError('network', `port \`${port}\`: not within 1 and 65535`)
  const rule = (protocol: string) =>
    `    ip daddr ${RESOLVER_ADDRESS} ${protocol} dport 53 dnat to ${RESOLVER_ADDRESS}:${port}`
  return `add table ip pak_names
delete table ip pak_names
table ip pak_names {
  chain output {
    type nat hook output priority -100
${rule('udp')}
${rule('tcp')}
  }
}
`
}
