import * as dgram from 'node:dgram'
import { once, setMaxListeners } from 'node:events'
import * as net from 'node:net'
import { answer } from './answer.ts'
import { type Forwarder, forwarder } from './forward.ts'
import { frame, readFrames } from './frame.ts'
import { type PeerNames, peerNames } from './peers.ts'
import { indexZone, type Scope, type Zone } from './zone.ts'

const MAX_CONNECTIONS = 256
const MAX_CONNECTIONS_PER_SOURCE = 16
const MAX_QUERIES_PER_CONNECTION = 32
const IDLE_MS = 5_000

export interface NameService {
  /** The names now. The same object as long as nothing changed: it is indexed once. */
  readonly zone: () => Zone
  /** Asked about names from outside, unless the container declares its own `dns:`. */
  readonly upstreams: () => Promise<readonly string[]>
  readonly signal: AbortSignal
  /** Who asks on these sockets, whatever address the questions come from: see `askerOf`. */
  readonly asker?: string
  /** A socket failed for good. */
  readonly onError?: (error: Error) => void
  readonly forward?: Forwarder
  readonly peers?: PeerNames
}

export interface DnsOptions extends NameService {
  /** A bound UDP socket and a listening TCP socket that somebody else holds open as well. */
  readonly udpFd: number
  readonly tcpFd: number
}

/** Answer on sockets given as descriptors, until `signal`. Resolves when both are being read. */
export async function startDns({ udpFd, tcpFd, ...service }: DnsOptions): Promise<void> {
  const udp = dgram.createSocket('udp4')
  const tcp = net.createServer()
  const listening = [once(udp, 'listening'), once(tcp, 'listening')]
  udp.bind({ fd: udpFd })
  tcp.listen({ fd: tcpFd })
  await Promise.all(listening)
  serveNames({ udp, tcp }, service)
}

/** The same on sockets that are open already. */
export function serveNames(
  { udp, tcp }: { readonly udp: dgram.Socket; readonly tcp: net.Server },
  service: NameService,
): void {
  const respond = responder(service)
  const onError = service.onError ?? (() => {})
  // Each query that is forwarded listens while it is under way; the forwarder bounds them.
  setMaxListeners(0, service.signal)
  udp.on('error', onError)
  tcp.on('error', onError)
  udp.on('message', async (bytes, { address, port }) => {
    const message = await respond(bytes, address, 'udp')
    // Whoever asked may be gone by now, and so may the socket: nobody is there to be told.
    if (message !== null && !service.signal.aborted) udp.send(message, port, address, () => {})
  })
  const connections = serveTcp(tcp, respond)
  service.signal.addEventListener(
    'abort',
    () => {
      udp.close()
      tcp.close()
      for (const connection of connections) connection.destroy()
    },
    { once: true },
  )
}

type Respond = (bytes: Buffer, source: string, transport: 'udp' | 'tcp') => Promise<Buffer | null>

/** `null`: no answer at all. That is what everybody gets who is not a container of the zone. */
function responder(service: NameService): Respond {
  const forward = service.forward ?? forwarder()
  const peers = service.peers ?? peerNames()
  let indexed = service.zone()
  let scopeOf = indexZone(indexed)
  let turn = 0
  return async (bytes, address, transport) => {
    const zone = service.zone()
    if (zone !== indexed) {
      indexed = zone
      scopeOf = indexZone(zone)
    }
    const source = service.asker ?? address.replace(/^::ffff:/, '')
    const scope = scopeOf(source)
    if (scope === null) return null
    turn = (turn + 1) % Number.MAX_SAFE_INTEGER
    const known = scope.peers.length === 0 ? scope : await peers(bytes, scope, service.signal)
    if (Buffer.isBuffer(known)) return known
    const verdict = answer(bytes, { scope: known, transport, turn })
    if (verdict.kind === 'ignore') return null
    if (verdict.kind === 'reply') return verdict.message
    const servers = await serversFor(scope, service)
    return forward(verdict.query, { source, servers, transport, signal: service.signal })
  }
}

async function serversFor(scope: Scope, { upstreams }: NameService): Promise<readonly string[]> {
  if (scope.servers.length > 0) return scope.servers
  // Without a server to ask the asker gets SERVFAIL, which says just that.
  return upstreams().catch(() => [])
}

function serveTcp(tcp: net.Server, respond: Respond): ReadonlySet<net.Socket> {
  const open = new Set<net.Socket>()
  tcp.maxConnections = MAX_CONNECTIONS
  tcp.on('connection', (socket) => {
    const source = socket.remoteAddress ?? ''
    const own = [...open].filter(({ remoteAddress }) => remoteAddress === source).length
    socket.on('error', () => {})
    if (own >= MAX_CONNECTIONS_PER_SOURCE) return void socket.destroy()
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.setTimeout(IDLE_MS, () => socket.destroy())
    let queries = 0
    readFrames(socket, async (bytes) => {
      if (++queries > MAX_QUERIES_PER_CONNECTION) return void socket.destroy()
      const message = await respond(bytes, source, 'tcp')
      if (message === null) socket.destroy()
      else if (!socket.destroyed) socket.write(frame(message))
    })
  })
  return open
}
