import type { ChildProcess } from 'node:child_process'
import { Socket as UdpSocket } from 'node:dgram'
import { Server } from 'node:net'
import { PakError } from '../errors.ts'
import { netnsOf } from './ip.ts'
import type { Kernel } from './kernel.ts'
import { mountTable, unmountAll } from './mount.ts'
import { spawnProgram } from './spawn.ts'

/** Sockets in another network namespace, on one free port of an address. */
export interface InnerSockets {
  readonly port: number
  readonly udp: UdpSocket
  readonly tcp: Server
}

const LIMIT_MS = 60_000

/** Binds both, hands them over its channel to whoever has started it, and ends. */
const BIND = `
const [dgram, net] = [require('node:dgram'), require('node:net')]
const address = process.argv[1]
const fail = (error) => { process.stderr.write(error.message); process.exit(1) }
process.once('disconnect', () => process.exit(1))
let attempts = 20
const bind = () => {
  const udp = dgram.createSocket('udp4')
  udp.once('error', fail)
  udp.bind(0, address, () => {
    const { port } = udp.address()
    const tcp = net.createServer()
    tcp.once('error', (error) => {
      if (error.code !== 'EADDRINUSE' || --attempts === 0) return fail(error)
      udp.close(bind)
    })
    tcp.listen(port, address, () =>
      process.send({ port }, udp, () => process.send({ port }, tcp, () => process.exit(0))))
  })
}
bind()
`

/**
 * No program can change its network namespace with threads: another one binds sockets in there, and passes
 * them on. They keep the namespace until they are closed. Throws `network`.
 */
export async function listenInNetns(pid: number, address: string): Promise<InnerSockets> {
  const node = [process.execPath, '--eval', BIND, '--', address]
  const child = spawnProgram('nsenter', [netnsOf(pid), '--', ...node], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C' },
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  })
  const handles: Partial<{ port: number; udp: UdpSocket; tcp: Server }> = {}
  child.on('message', (message, handle) => {
    handles.port = portOf(message)
    if (handle instanceof UdpSocket) handles.udp = handle
    else if (handle instanceof Server) handles.tcp = handle
  })
  const complaint = await ended(child)
  const { port, udp, tcp } = handles
  if (port !== undefined && udp !== undefined && tcp !== undefined) return { port, udp, tcp }
  udp?.close()
  tcp?.close()
  throw new PakError(
    'network',
    `listen in network namespace of ${pid}: ${complaint || 'no answer'}`,
  )
}

function portOf(message: unknown): number {
  const port =
    typeof message === 'object' && message !== null && 'port' in message ? message.port : null
  return typeof port === 'number' ? port : 0
}

/** What it had to say, once it has ended and all that it has sent is here. */
function ended(child: ChildProcess): Promise<string> {
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(0, 1000)
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve(complaint.trim()))
  })
}

/** Keep the way into a namespace when its processes are gone: a mount, which an agent that is killed leaves behind. */
export async function pinNetns(kernel: Kernel, pid: number, file: string): Promise<void> {
  if (await isPinned(kernel, file)) return
  await kernel.writeText(file, '')
  const source = `/proc/${pid}/ns/net`
  const { exitCode, stderr } = await kernel.run('mount', ['--bind', '--', source, file])
  if (exitCode !== 0) throw new PakError('network', `mount \`${file}\`: ${stderr.trim()}`)
}

export const isPinned = async (kernel: Kernel, file: string): Promise<boolean> => {
  if (!(await kernel.exists(file))) return false
  const real = await kernel.realPath(file)
  return (await mountTable(kernel)).some(({ type, target }) => type === 'nsfs' && target === real)
}

export async function unpinNetns(kernel: Kernel, files: readonly string[]): Promise<void> {
  for (const { error } of await unmountAll(kernel, files)) if (error !== null) throw error
}
