import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { formatAddress, parseAddress } from './ipv4.ts'

/**
 * Forget where datagrams of known clients went: to these addresses nobody shall send any more. The
 * kernel chooses a replica once for each client's port and renews that with each datagram, so that a
 * client which goes on would be sent to a dead one for good. A connection ends by itself. Without
 * conntrack(8) on this host clients are moved when they have been silent for a while.
 */
export async function forgetFlows(kernel: Kernel, addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    const source = formatAddress(parseAddress(address))
    const args = ['-D', '-f', 'ipv4', '-p', 'udp', '--reply-src', source]
    try {
      // Exit status 1: there was none.
      await kernel.run('conntrack', args)
    } catch (error) {
      if (error instanceof PakError && error.code === 'tool_missing') return
      throw error
    }
  }
}
