import { forwarder, hostNameServers } from '../../network/dns/forward.ts'
import { peerNames } from '../../network/dns/peers.ts'
import { startDns } from '../../network/dns/server.ts'
import type { LinuxHost } from './host.ts'
import { nameZone } from './names.ts'
import { openResolvers } from './resolvers.ts'

/**
 * Answer containers' questions on sockets that somebody else holds open, and inside of those that do not
 * reach them; the rest goes to the host's servers.
 */
export async function serveHostNames(
  host: LinuxHost,
  sockets: { readonly udpFd: number; readonly tcpFd: number },
  signal: AbortSignal,
): Promise<void> {
  const service = {
    signal,
    zone: nameZone(host),
    upstreams: () => hostNameServers(host.kernel),
    forward: forwarder(),
    peers: peerNames(),
  }
  host.resolvers.begin(service)
  await startDns({ ...sockets, ...service })
  await openResolvers(host, (error) =>
    process.emitWarning(`serve names in a container: ${String(error)}`),
  )
}
