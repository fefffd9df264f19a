/**
 * Plays the command line: opens pak's two DNS sockets on a port, and hands them to the agent as 3 and 4.
 * Started without arguments but the port; `agent` as the second one is the inner process.
 */
import { spawn } from 'node:child_process'
import * as dgram from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import * as net from 'node:net'
import { startDns } from '../../../src/network/dns/server.ts'

const container = (name: string, address: string) => ({
  name,
  address,
  names: [name.replace(/-\d+$/, '')],
  healthy: true,
  servers: [],
})
const ZONE = {
  networks: [
    {
      id: 'shop/n1',
      internal: false,
      names: [],
      services: [],
      containers: [container('web-1', '10.210.1.2'), container('web-2', '10.210.1.3')],
    },
    {
      id: 'shop/n3',
      internal: true,
      names: [],
      services: [],
      containers: [container('db-1', '10.210.3.2')],
    },
  ],
}

const [port = '0', role] = process.argv.slice(2)
if (role === 'agent') {
  const signal = new AbortController().signal
  await startDns({ udpFd: 3, tcpFd: 4, zone: () => ZONE, upstreams: async () => [], signal })
  console.log('ready')
} else {
  const udp = dgram.createSocket('udp4').bind(Number(port), '0.0.0.0')
  await once(udp, 'listening')
  const tcp = net.createServer().listen(Number(port), '0.0.0.0')
  await once(tcp, 'listening')
  const agent = spawn(
    process.execPath,
    [...process.execArgv, import.meta.filename, port, 'agent'],
    {
      stdio: ['ignore', 'inherit', 'inherit', descriptor('udp'), descriptor('tcp')],
    },
  )
  // Only the agent may read from them from here on; the descriptors stay open in it.
  udp.close()
  tcp.close()
  process.once('SIGTERM', () => agent.kill('SIGKILL'))
  await once(agent, 'exit')
}

/** The descriptor of this process whose socket has the port, by its inode. */
function descriptor(protocol: 'udp' | 'tcp'): number {
  const end = `:${Number(port).toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync(`/proc/self/net/${protocol}`, 'utf8').split('\n')
  const row = rows.map((line) => line.trim().split(/\s+/)).find(([, local]) => local?.endsWith(end))
  const socket = `socket:[${row?.[9]}]`
  const found = readdirSync('/proc/self/fd').find((fd) => linkOf(fd) === socket)
  if (found === undefined) throw new Error(`no descriptor for ${protocol} ${port}`)
  return Number(found)
}

function linkOf(fd: string): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return null
  }
}
