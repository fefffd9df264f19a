import type { Affinity } from '../../src/model/desired.ts'
import { bridgeName, createBridges } from '../../src/network/bridge.ts'
import { applyFirewall, type FirewallRequest } from '../../src/network/firewall.ts'
import { attach, cable, type Machine, machine } from './lab.ts'

export const FRONT = {
  name: 'front',
  bridge: bridgeName('pakt/balance/front'),
  subnet: '10.211.1.0/24',
  gateway: '10.211.1.1',
  internal: false,
}
export const BACK = {
  name: 'back',
  bridge: bridgeName('pakt/balance/back'),
  subnet: '10.211.2.0/24',
  gateway: '10.211.2.1',
  internal: false,
}
export const VIP = '10.211.1.100'
export const addressOf = (replica: number) => `10.211.1.${10 + replica}`

/** The service on `VIP` and on port 8080, over these replicas. */
export function request(replicas: readonly number[], affinity: Affinity = 'none'): FirewallRequest {
  const targets = replicas.map(addressOf)
  return {
    table: 'pak_t',
    project: 'shop',
    dnsPort: 5353,
    networks: [FRONT, BACK],
    published: targets.map((address, index) => ({
      container: `web-${index}`,
      address,
      hostIp: '0.0.0.0',
      published: 8080,
      target: 80,
      protocol: 'tcp',
      affinity: targets.length > 1 ? affinity : 'none',
    })),
    services: [{ bridge: FRONT.bridge, address: VIP, targets, affinity }],
    lifts: true,
    others: [],
  }
}

export interface Lab extends AsyncDisposable {
  readonly host: Machine
  readonly outside: Machine
  readonly client: Machine
  readonly back: Machine
  readonly replicas: readonly Machine[]
}

/** Replicas 0 to n-1 answer on port 80 as `r<n>`; a client beside them, one elsewhere, one outside. */
export async function lab(count: number, affinity: Affinity = 'none'): Promise<Lab> {
  const all = await Promise.all(Array.from({ length: count + 4 }, () => machine()))
  const [host, outside, client, back] = all as [Machine, Machine, Machine, Machine]
  const replicas = all.slice(4)
  await cable(
    { machine: host, name: 'up0', address: '203.0.113.1/24' },
    { machine: outside, name: 'eth0', address: '203.0.113.2/24' },
  )
  await createBridges(
    host.kernel,
    [FRONT, BACK].map(({ bridge, gateway }) => ({
      name: bridge,
      gateway,
      prefix: 24,
      services: bridge === FRONT.bridge ? [VIP] : [],
    })),
  )
  const { bridge, gateway } = FRONT
  await attach(host, client, [{ bridge, address: '10.211.1.5', gateway }])
  await attach(host, back, [{ ...BACK, address: '10.211.2.5' }])
  for (const [index, replica] of replicas.entries()) {
    await attach(host, replica, [{ bridge, address: addressOf(index), gateway }])
    await replica.serve(`r${index}`, 80)
  }
  await applyFirewall(host.kernel, request([...replicas.keys()], affinity))
  return {
    host,
    outside,
    client,
    back,
    replicas,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

/** Connects `count` times and prints how often each answer came; `error` where none did. */
const LOAD = `
const [address, port, count] = process.argv.slice(1)
const net = require('net')
const counts = {}
let [left, open] = [Number(count), 0]
const next = () => {
  while (left > 0 && open < 64) { left--; open++; one() }
  if (open === 0) console.log(JSON.stringify(counts))
}
function one() {
  let text = ''
  const s = net.connect(Number(port), address)
  s.setTimeout(5000, () => s.destroy())
  s.on('data', (d) => text += d).on('error', () => {}).on('close', () => {
    const key = text.trim() || 'error'
    counts[key] = (counts[key] ?? 0) + 1
    open--
    next()
  })
}
next()`

export async function load(
  from: Machine,
  address: string,
  { port = 80, count }: { readonly port?: number; readonly count: number },
): Promise<Readonly<Record<string, number>>> {
  const text = await from.run(process.execPath, '-e', LOAD, address, `${port}`, `${count}`)
  return JSON.parse(text)
}

/** By replica, whatever address it saw. */
export function shares(counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const [answer, times] of Object.entries(counts)) {
    const name = answer.split(' ')[0] ?? ''
    found[name] = (found[name] ?? 0) + times
  }
  return found
}

/** Counts what this host routes. */
export const PROBE = `
add table ip probe
add counter ip probe routed
add chain ip probe seen { type filter hook forward priority 0; }
add rule ip probe seen counter name routed`

/** Connects from port 40000 to each address in turn, and prints what answers and after how many milliseconds. */
export const ONE_PORT = `
const addresses = process.argv.slice(1)
const net = require('net')
const next = () => {
  const host = addresses.shift()
  if (host === undefined) return
  const from = performance.now()
  let text = ''
  const s = net.connect({ host, port: 80, localPort: 40000 })
  s.setTimeout(5000, () => s.destroy())
  s.on('data', (d) => text += d).on('error', (e) => text = e.code).on('close', () => {
    console.log(text.trim() || 'silence', Math.round(performance.now() - from))
    next()
  })
}
next()`
