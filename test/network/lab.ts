import { type ChildProcess, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { hostKernel } from '../../src/kernel/host.ts'
import type { Kernel } from '../../src/kernel/kernel.ts'
import { configure, connect, linkGroup, macAddress, vethName } from '../../src/network/bridge.ts'
import { eventually, slowness } from '../support/eventually.ts'

/** A network namespace that lives as long as its one sleeping process: no name, no mount, nothing to tidy. */
export interface Machine extends AsyncDisposable {
  readonly pid: number
  /** Run a program inside. */
  run(file: string, ...args: readonly string[]): Promise<string>
  /** A TCP server inside that answers `<name> <address of the client>`. */
  serve(name: string, port: number, address?: string): Promise<void>
  /** What such a server answers; empty when it cannot be reached. */
  ask(address: string, port: number): Promise<string>
  /** The same by UDP, on every address of the machine. */
  serveUdp(name: string, port: number): Promise<void>
  askUdp(address: string, port: number): Promise<string>
  /** Start a program inside; it ends with the machine. */
  start(file: string, ...args: readonly string[]): ChildProcess
  /** Host state as pak sees it, with everything about the network inside this namespace. */
  readonly kernel: Kernel
}

export async function machine(): Promise<Machine> {
  const sleeper = spawn('unshare', ['--net', '--', 'sleep', '600'], { stdio: 'ignore' })
  const pid = sleeper.pid ?? 0
  const here = readlinkSync('/proc/self/ns/net')
  await eventually('namespace', () => readlinkSync(`/proc/${pid}/ns/net`) !== here)
  const children = [sleeper]
  const enter = (file: string, args: readonly string[]) => ['--net', '-t', `${pid}`, file, ...args]
  const kernel = kernelWithin(enter)
  const run = async (file: string, ...args: readonly string[]) => {
    const result = await hostKernel.run('nsenter', enter(file, args), {
      timeoutMs: 20_000 * slowness,
    })
    return result.stdout.trim()
  }
  const start = (file: string, ...args: readonly string[]) => {
    const child = spawn('nsenter', enter(file, args), { stdio: ['pipe', 'pipe', 'inherit'] })
    children.push(child)
    return child
  }
  await run('ip', 'link', 'set', 'lo', 'up')
  return {
    pid,
    run,
    kernel,
    start,
    ask: (address, port) =>
      run(process.execPath, '-e', ASK, address, `${port}`, `${700 * slowness}`),
    async serve(name, port, address = '0.0.0.0') {
      const child = start(process.execPath, '-e', SERVE, name, `${port}`, address)
      await new Promise((resolve) => child.stdout?.once('data', resolve))
    },
    askUdp: (address, port) =>
      run(process.execPath, '-e', ASK_UDP, address, `${port}`, `${700 * slowness}`),
    async serveUdp(name, port) {
      const child = start(process.execPath, '-e', SERVE_UDP, name, `${port}`)
      await new Promise((resolve) => child.stdout?.once('data', resolve))
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(children.map(ended))
    },
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

const SERVE = `
const [name, port, address] = process.argv.slice(1)
require('net').createServer((s) => s.on('error', () => {}).end(name + ' ' + s.remoteAddress))
  .listen(Number(port), address, () => console.log('ready'))`

const ASK = `
const [address, port, ms] = process.argv.slice(1)
const s = require('net').connect(Number(port), address)
setTimeout(() => process.exit(), Number(ms))
s.on('data', (d) => process.stdout.write(d)).on('error', () => process.exit()).on('close', () => process.exit())`

const SERVE_UDP = `
const [name, port] = process.argv.slice(1)
const s = require('dgram').createSocket('udp4').bind(Number(port), () => console.log('ready'))
s.on('message', (_, from) => s.send(name + ' ' + from.address, from.port, from.address))`

const ASK_UDP = `
const [address, port, ms] = process.argv.slice(1)
const s = require('dgram').createSocket('udp4')
setTimeout(() => process.exit(), Number(ms))
s.on('message', (d) => { process.stdout.write(d); process.exit() }).on('error', () => process.exit())
s.send('?', Number(port), address)`

/** This machine's kernel, but what is per network namespace happens in another one. */
function kernelWithin(enter: (file: string, args: readonly string[]) => string[]): Kernel {
  const inside = (path: string) => /^\/proc\/(sys\/)?net\//.test(path)
  return {
    ...hostKernel,
    run: (file, args, options) => hostKernel.run('nsenter', enter(file, args), options),
    async readText(path) {
      if (!inside(path)) return hostKernel.readText(path)
      const { exitCode, stdout } = await hostKernel.run('nsenter', enter('cat', [path]))
      return exitCode === 0 ? stdout : null
    },
    async writeText(path, text) {
      if (!inside(path)) throw new Error(`test wrote ${path} outside its namespace`)
      const done = await hostKernel.run('nsenter', enter('tee', [path]), { input: text })
      if (done.exitCode !== 0) throw new Error(done.stderr)
    },
    exists: async (path) =>
      inside(path)
        ? (await hostKernel.run('nsenter', enter('ls', [path]))).exitCode === 0
        : hostKernel.exists(path),
  }
}

/** Hang a machine on bridges of `host`, as a container: eth0, eth1, ...; default route by the first gateway. */
export async function attach(
  host: Machine,
  container: Machine,
  ends: readonly {
    bridge: string
    address: string
    gateway: string | null
    ipv6?: { readonly address: string; readonly gateway: string }
  }[],
): Promise<void> {
  const links = ends.map(({ bridge, address }, index) => ({
    host: vethName(`${address}/${container.pid}`),
    bridge,
    peer: `eth${index}`,
    pid: container.pid,
    mac: macAddress(address),
    group: linkGroup(address),
  }))
  await connect(host.kernel, links)
  const interfaces = ends.map(({ address, gateway, ipv6 }, index) => ({
    name: `eth${index}`,
    address,
    prefix: 24,
    gateway,
    ...(ipv6 === undefined ? {} : { ipv6: { ...ipv6, prefix: 64 } }),
  }))
  await configure(hostKernel, container.pid, interfaces)
}

/** A cable between two machines. */
export async function cable(
  a: { readonly machine: Machine; readonly name: string; readonly address: string },
  b: { readonly machine: Machine; readonly name: string; readonly address: string },
): Promise<void> {
  await a.machine.run(
    'ip',
    ...`link add ${a.name} type veth peer name ${b.name} netns ${b.machine.pid}`.split(' '),
  )
  for (const { machine, name, address } of [a, b]) {
    await machine.run('ip', 'addr', 'add', address, 'dev', name)
    await machine.run('ip', 'link', 'set', name, 'up')
  }
}
