import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { Duplex } from 'node:stream'
import { PakError } from '../../errors.ts'
import { isAlive } from '../../kernel/process.ts'
import { spawnProgram } from '../../kernel/spawn.ts'
import { attachmentsOf } from '../../model/attachments.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { hostAddresses } from './presence.ts'
import { type ContainerRecord, containerRecord, type NetworkRecord } from './records.ts'
import { currentRun } from './runs.ts'

const LOOPBACK = '127.0.0.1'

/**
 * A stream to a TCP port of a container, as somebody beside it would get: at its own address, the one in
 * its first network. Where this host is on none of them it is asked from its own network namespace; without
 * an address of its own there at 127.0.0.1, which with `network_mode: host` is this machine's. PakError
 * `conflict` when it does not run.
 */
export async function reachPort(
  host: LinuxHost,
  to: { readonly project: string; readonly container: string; readonly port: number },
  signal: AbortSignal,
): Promise<Duplex> {
  const record = containerRecord(await host.records.of(to.project), 'reach', to.container)
  const run = await currentRun(host, record)
  if (run === null || !(await isAlive(host.kernel, run)))
    throw new PakError('conflict', `reach \`${to.container}\`: it is not running`)
  const { address, inside } = ownAddress(record, networksFor(host, to.project))
  if (!inside) return connected(address, to.port, signal)
  return relayed({ pid: run.pid, address, port: to.port }, signal)
}

/** `inside`: only from its own network namespace. */
function ownAddress(
  record: ContainerRecord,
  networks: ReadonlyMap<string, NetworkRecord>,
): { readonly address: string; readonly inside: boolean } {
  const { spec, addresses } = record
  if (spec.networkMode.kind === 'host') return { address: LOOPBACK, inside: false }
  const here = hostAddresses(record, networks)
  const known = attachmentsOf(spec, record).flatMap(({ network }) => {
    const address = addresses[network]
    return address === undefined ? [] : { address, inside: !here.has(network) }
  })
  return known.find(({ inside }) => !inside) ?? known[0] ?? { address: LOOPBACK, inside: true }
}

async function connected(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const socket = dial({ host, port, signal })
  socket.on('error', () => {})
  await once(socket, 'connect', { signal })
  return socket
}

/** Says `+` once connected; whatever happens it ends, and does not outlive its time by more than a moment. */
const RELAY = `
const socket = require('node:net').connect(Number(process.argv[1]), process.argv[2], () => {
  process.stdout.write('+')
  process.stdin.pipe(socket).pipe(process.stdout)
})
const fail = (error) => { process.stderr.write(error.message); process.exit(1) }
socket.on('error', fail)
socket.on('close', () => process.exit(0))
process.stdout.on('error', fail)
process.stdin.on('error', fail)
setTimeout(() => process.exit(1), ${10 * 60_000})
`

/** No program can change its network namespace with threads: another one stands in it, and passes bytes on. */
async function relayed(
  { pid, address, port }: { readonly pid: number; readonly address: string; readonly port: number },
  signal: AbortSignal,
): Promise<Duplex> {
  const node = [process.execPath, '--eval', RELAY, '--', String(port), address]
  const inside = ['nsenter', '--target', String(pid), '--net', '--', ...node]
  const child = spawnProgram('setpriv', ['--pdeathsig', 'KILL', ...inside], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C' },
    signal,
    killSignal: 'SIGKILL',
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(0, 1000)
  })
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject)
    child.once('close', () => reject(new Error(complaint || 'the connection ended')))
  })
  ended.catch(() => {})
  await Promise.race([ended, greeted(child.stdout)])
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
  stream.on('error', () => {})
  stream.once('close', () => child.kill('SIGKILL'))
  return stream
}

/** The first byte is the relay's; what is behind it is for whoever reads next. */
async function greeted(stdout: NodeJS.ReadableStream): Promise<void> {
  for (;;) {
    const chunk = stdout.read(1)
    if (chunk !== null) return
    await once(stdout, 'readable')
  }
}
