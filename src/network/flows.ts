import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { addressWord } from './firewall-elements.ts'

/** Connections that are established live on: whoever leaves may still answer them. */
const KINDS = [
  ['-p', 'udp'],
  ['-p', 'tcp', '--state', 'SYN_SENT'],
  ['-p', 'sctp', '--state', 'COOKIE_WAIT'],
] as const

/**
 * Forget where datagrams of known clients went, and connections that nobody has answered: to these
 * addresses nobody shall send any more. The kernel chooses a replica once for each client's port. It renews
 * that with each datagram, so that a client which goes on would be sent to a dead one for good; and a
 * client that comes again from the port of a connection that failed would be sent there, too. Without
 * conntrack(8) on this host that lasts until they have been silent for a while.
 */
export async function forgetFlows(kernel: Kernel, addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const source = addressWord(address)
    const family = source.includes(':') ? 'ipv6' : 'ipv4'
    for (const kind of KINDS)
      try {
        // Exit status 1: there was none.
        await kernel.run('conntrack', ['-D', '-f', family, ...kind, '--reply-src', source])
      } catch (error) {
        if (error instanceof PakError && error.code === 'tool_missing') return
        throw error
      }
  }
}
