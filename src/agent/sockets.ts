import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync, readlinkSync, renameSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { PakError } from '../errors.ts'

/** sun_path of unix(7), without the byte that ends it. */
const LONGEST_PATH_BYTES = 107
const PORT_ATTEMPTS = 20

/** The three sockets that a supervisor holds: requests and queries wait in them while the agent is dead. */
export interface BoundSockets extends Disposable {
  /** API, DNS over udp, DNS over tcp: the child gets them as 3, 4 and 5. */
  readonly fds: readonly [api: number, udp: number, tcp: number]
  /** Give the API socket its name. */
  publish(): void
}

/**
 * Bind them all; nobody can see the API socket before `publish`. Between that and disposal nothing may
 * be awaited, or this process would accept what is meant for the agent.
 */
export async function bindSockets(socketPath: string): Promise<BoundSockets> {
  if (Buffer.byteLength(socketPath) > LONGEST_PATH_BYTES)
    throw new PakError('usage', `socket \`${socketPath}\`: path is longer than 107 bytes`, {
      hint: 'choose a shorter --run-root',
    })
  // libuv unlinks the name that it has bound when it closes the socket: by then it is another one.
  const draft = join(dirname(socketPath), `.${process.pid.toString(36)}`)
  const api = createServer()
  await listening(api, () => api.listen(draft))
  chmodSync(draft, 0o600)
  const dns = await bindDns()
  return {
    fds: [
      fdOf(unixInode(draft)),
      fdOf(inetInode('udp', dns.port)),
      fdOf(inetInode('tcp', dns.port)),
    ],
    publish: () => renameSync(draft, socketPath),
    [Symbol.dispose]() {
      api.close()
      dns.close()
    },
  }
}

/** The local port of an inherited udp socket. */
export function portOfFd(fd: number): number {
  const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1]
  const row = inetRows('udp').find((fields) => fields[9] === inode)
  const port = Number.parseInt(row?.[1]?.split(':')[1] ?? '', 16)
  if (Number.isNaN(port)) throw new PakError('agent', `descriptor ${fd}: not a udp socket`)
  return port
}

/** One free port for both udp and tcp. */
async function bindDns(): Promise<{ readonly port: number; close(): void }> {
  for (let attempt = 1; ; attempt += 1) {
    const udp = createSocket({ type: 'udp4', reuseAddr: false })
    udp.bind(0, '0.0.0.0')
    await once(udp, 'listening')
    const { port } = udp.address()
    const tcp = createServer()
    try {
      await listening(tcp, () => tcp.listen(port, '0.0.0.0'))
    } catch (cause) {
      udp.close()
      if (attempt < PORT_ATTEMPTS) continue
      throw new PakError('agent', 'bind DNS sockets: no port is free', { cause })
    }
    const close = () => {
      udp.close()
      tcp.close()
    }
    return { port, close }
  }
}

async function listening(server: Server, listen: () => void): Promise<void> {
  const ready = once(server, 'listening')
  listen()
  await ready
}

/** proc_pid_net(5): the path is the last column, the inode the one before. */
function unixInode(path: string): string | undefined {
  const line = readFileSync('/proc/self/net/unix', 'utf8')
    .split('\n')
    .find((text) => text.endsWith(` ${path}`))
  return line?.slice(0, -path.length).trim().split(/\s+/).at(-1)
}

function inetInode(protocol: 'udp' | 'tcp', port: number): string | undefined {
  const local = `00000000:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return inetRows(protocol).find((fields) => fields[1] === local)?.[9]
}

const inetRows = (protocol: 'udp' | 'tcp'): readonly (readonly string[])[] =>
  readFileSync(`/proc/self/net/${protocol}`, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))

function fdOf(inode: string | undefined): number {
  const found = readdirSync('/proc/self/fd').find((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === `socket:[${inode}]`
    } catch {
      // The descriptor of the listing itself.
      return false
    }
  })
  if (inode === undefined || found === undefined)
    throw new PakError('agent', 'bind sockets: /proc does not show what was bound', {
      hint: 'is /proc mounted?',
    })
  return Number(found)
}
