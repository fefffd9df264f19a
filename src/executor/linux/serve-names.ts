import { hostNameServers } from '../../network/dns/forward.ts'
import { startDns } from '../../network/dns/server.ts'
import type { LinuxHost } from './host.ts'
import { nameZone } from './names.ts'

/** Answer containers' questions on sockets that somebody else holds open; the rest goes to the host's servers. */
export function serveHostNames(
  host: LinuxHost,
  sockets: { readonly udpFd: number; readonly tcpFd: number },
  signal: AbortSignal,
): Promise<void> {
  return startDns({
    ...sockets,
    signal,
    zone: nameZone(host),
    upstreams: () => hostNameServers(host.kernel),
  })
}
