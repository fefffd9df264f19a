// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import type {
  Policies,
  PolicyPeer,
  PolicyPorts,
  PolicyRule,
  PolicySide,
} from '../../src/model/policy.ts'
import { bridgeName, configure, createBridges, macAddress } from '../../src/network/bridge.ts'
import { applyFirewall, type FirewallRequest, removeFirewall } from '../../src/network/firewall.ts'
import { allowed, type PolicyModel } from '../../src/network/policy-model.ts'
import { slowness } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { attach, cable, type Machine, machine } from './lab.ts'

const ROUNDS = 6
const OUTSIDE = '203.0.113.2'
const NETWORKS = Array.from({ length: 5 }, (_, n) => ({
  name: `net${n}`,
  bridge: bridgeName(`pakt/policy/${n}`),
  subnet: `10.213.${n}.0/24`,
  gateway: `10.213.${n}.1`,
  internal: n === 4,
  subnet6: `fd13:${n}::/64`,
}))

testUnless(
  test,
  hostLacks('ip', 'nft', 'nsenter', 'unshare'),
  'twelve services on five networks reach each other exactly as random policies say',
  async () => {
    const seed = Number(process.env['PAK_TEST_SEED'] ?? Date.now() % 1e9)
    const random = generator(seed)
    await using lab = await policyLab(random)
    for (let round = 0; round < ROUNDS; round++) {
      const model = randomModel(random)
      // Both must be the same with and without the kernel's own way of showing bridged packets.
      const bridged = String(round % 2)
      for (const family of ['ip', 'ip6'])
        await lab.host.kernel.writeText(
          `/proc/sys/net/bridge/bridge-nf-call-${family}tables`,
          bridged,
        )
      await applyFirewall(lab.host.kernel, request(lab.services, model))
      const probes = probesOf(lab.services, random)
      const expected = probes.map((probe) => isExpected(model, probe))
      const wrong = await differing(lab, { probes, expected, patienceMs: 400 })
      let still = wrong
      // In the first second addresses of IPv6 are still in doubt, and a probe may be late.
      for (let tries = 0; tries < 4 && still.probes.length > 0; tries++)
        still = await differing(lab, { ...still, patienceMs: 1_000 })
      const told = still.probes.map(({ text }, n) => `${text}: expected ${still.expected[n]}`)
      assert.equal(told, [], `seed ${seed}, round ${round}: ${JSON.stringify(model.rules)}`)
      assert.ok(expected.includes(true) && expected.includes(false), `seed ${seed} shows nothing`)
    }
    await removeFirewall(lab.host.kernel, {
      table: 'pak_t',
      project: 'shop',
      lifts: true,
      others: [],
    })
    assert.equal(await lab.host.run('nft', 'list', 'tables'), '')
  },
)

interface Place {
  readonly network: number
  readonly ipv4: string
  readonly ipv6: string
}

interface Box {
  readonly service: string
  readonly places: readonly Place[]
}

interface Probe {
  readonly from: Box & { readonly address: string }
  readonly to: { readonly service: string | null; readonly address: string }
  readonly protocol: 'tcp' | 'udp'
  readonly port: number
  readonly text: string
}

interface Expectation {
  readonly probes: readonly Probe[]
  readonly expected: readonly boolean[]
}

const isExpected = (model: PolicyModel, { from, to, port, protocol }: Probe): boolean =>
  allowed(model, { from: { service: from.service, address: from.address }, to, port, protocol })

async function differing(
  lab: Lab,
  { probes, expected, patienceMs }: Expectation & { readonly patienceMs: number },
): Promise<Expectation> {
  const answers = await Promise.all(probes.map((probe) => lab.ask(probe, patienceMs * slowness)))
  const wrong = probes.map((_, n) => n).filter((n) => answers[n] !== expected[n])
  return {
    probes: wrong.flatMap((n) => probes[n] ?? []),
    expected: wrong.map((n) => expected[n] ?? false),
  }
}

/** Every pair that shares a network, on one of them, by one family; and the way out of some. */
function probesOf(services: readonly Box[], random: () => number): readonly Probe[] {
  const inside = services.flatMap((from) =>
    services.flatMap((to): readonly Probe[] => {
      const shared = from.places.filter(({ network }) =>
        to.places.some((p) => p.network === network),
      )
      const here = pick(random, shared)
      const there = to.places.find((place) => place.network === here?.network)
      if (from === to || here === undefined || there === undefined) return []
      const family = random() < 0.3 ? 'ipv6' : 'ipv4'
      const at = { ...from, address: here[family] }
      return portsOf(random).map((port) =>
        probe(at, { service: to.service, address: there[family] }, port),
      )
    }),
  )
  const outward = services.flatMap((from) => {
    const [first] = from.places.filter(({ network }) => network !== 4)
    if (first === undefined) return []
    const at = { ...from, address: first.ipv4 }
    return [probe(at, { service: null, address: OUTSIDE }, { protocol: 'tcp', port: 80 })]
  })
  return [...inside, ...outward]
}

const portsOf = (random: () => number) => [
  { protocol: random() < 0.3 ? ('udp' as const) : ('tcp' as const), port: 80 },
  { protocol: 'tcp' as const, port: 81 },
]

function probe(from: Probe['from'], to: Probe['to'], at: Pick<Probe, 'protocol' | 'port'>): Probe {
  const text = `${from.service} (${from.address}) -> ${to.service} ${to.address} ${at.port}/${at.protocol}`
  return { from, to, ...at, text }
}

function randomModel(random: () => number): PolicyModel {
  const services = Array.from({ length: 12 }, (_, n) => `s${n}`)
  return {
    rules: services.flatMap((service) => {
      const policies: Policies = {
        ...(random() < 0.6 ? { ingress: randomSide(random) } : {}),
        ...(random() < 0.4 ? { egress: randomSide(random) } : {}),
      }
      return Object.keys(policies).length === 0 ? [] : [{ service, policies }]
    }),
    networks: new Map(NETWORKS.map(({ name, subnet, subnet6 }) => [name, [subnet, subnet6]])),
  }
}

const randomSide = (random: () => number): PolicySide => ({
  otherwise: random() < 0.6 ? 'deny' : 'allow',
  allow: some(random, 4, () => randomRule(random)),
  deny: some(random, 2, () => randomRule(random)),
})

const randomRule = (random: () => number): PolicyRule => ({
  peers: some(random, 3, () => randomPeer(random)),
  ports: pick(random, PORTS) ?? [],
})

const PORTS: readonly (readonly PolicyPorts[])[] = [
  [],
  [],
  [{ protocol: 'tcp', first: 80, last: 80 }],
  [
    { protocol: 'tcp', first: 81, last: 90 },
    { protocol: 'udp', first: 1, last: 80 },
  ],
  [{ protocol: 'udp', first: 80, last: 80 }],
]

function randomPeer(random: () => number): PolicyPeer {
  const number = Math.floor(random() * 5)
  if (random() < 0.5) return { kind: 'service', service: `s${Math.floor(random() * 12)}` }
  if (random() < 0.5) return { kind: 'network', network: `net${number}` }
  return pick(random, [
    { kind: 'cidr', cidr: '0.0.0.0/0', except: ['10.213.0.0/16'] },
    { kind: 'cidr', cidr: '10.213.0.0/16', except: [`10.213.${number}.0/24`] },
    { kind: 'cidr', cidr: `10.213.${number}.0/28`, except: [] },
    { kind: 'cidr', cidr: 'fd13::/16', except: [`fd13:${number}::/32`] },
  ] as const) as PolicyPeer
}

function some<T>(random: () => number, most: number, make: () => T): readonly T[] {
  return Array.from({ length: Math.floor(random() * most) }, make)
}

const pick = <T>(random: () => number, list: readonly T[]): T | undefined =>
  list[Math.floor(random() * list.length)]

/** mulberry32: the same numbers for the same seed. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const request = (services: readonly Box[], model: PolicyModel): FirewallRequest => ({
  table: 'pak_t',
  project: 'shop',
  dnsPort: 5353,
  networks: NETWORKS,
  published: [],
  services: [],
  lifts: true,
  others: [],
  policies: {
    ...model,
    members: new Map(
      services.map(({ service, places }) => [
        service,
        places.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]),
      ]),
    ),
  },
  guarded: NETWORKS.map(({ bridge }) => bridge),
  identities: services.flatMap(({ places }) =>
    places.map(({ ipv4, ipv6 }) => ({ address: ipv4, mac: macAddress(ipv4), address6: ipv6 })),
  ),
})

interface Lab extends AsyncDisposable {
  readonly host: Machine
  readonly services: readonly Box[]
  ask(probe: Probe, patienceMs: number): Promise<boolean>
}

async function policyLab(random: () => number): Promise<Lab> {
  const all = await Promise.all(Array.from({ length: 14 }, () => machine()))
  const [host, outside] = all as [Machine, Machine]
  await cable(
    { machine: host, name: 'up0', address: '203.0.113.1/24' },
    { machine: outside, name: 'eth0', address: `${OUTSIDE}/24` },
  )
  await createBridges(
    host.kernel,
    NETWORKS.map(({ bridge, gateway }, n) => ({
      name: bridge,
      gateway,
      prefix: 24,
      ipv6: { gateway: `fd13:${n}::1`, prefix: 64 },
    })),
  )
  const services = all.slice(2).map((_, n): Box => {
    const numbers = [...new Set([n % 5, ...some(random, 3, () => Math.floor(random() * 5))])]
    const places = numbers.map((network) => ({
      network,
      ipv4: `10.213.${network}.${n + 10}`,
      ipv6: `fd13:${network}::${n + 10}`,
    }))
    return { service: `s${n}`, places }
  })
  await Promise.all(services.map((box, n) => plug(host, all[n + 2] as Machine, box)))
  const probers = await Promise.all([outside, ...all.slice(2)].map(prober))
  return {
    host,
    services,
    ask: (one, patienceMs) =>
      (probers[Number(one.from.service.slice(1)) + 1] as Prober)(one, patienceMs),
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

async function plug(host: Machine, container: Machine, { places }: Box): Promise<void> {
  const outward = places.findIndex(({ network }) => network !== 4)
  const ends = places.map(({ network, ipv4 }, index) => ({
    bridge: NETWORKS[network]?.bridge ?? '',
    address: ipv4,
    gateway: index === outward ? `10.213.${network}.1` : null,
  }))
  await attach(host, container, ends)
  const interfaces = places.map(({ network, ipv4, ipv6 }, index) => ({
    name: `eth${index}`,
    address: ipv4,
    prefix: 24,
    gateway: index === outward ? `10.213.${network}.1` : null,
    ipv6: { address: ipv6, prefix: 64, gateway: null },
  }))
  await configure(hostKernel, container.pid, interfaces)
}

type Prober = (probe: Probe, patienceMs: number) => Promise<boolean>

/** Answers on every port that is asked, and asks others. */
async function prober(inside: Machine): Promise<Prober> {
  const child = inside.start(process.execPath, '-e', PROBER)
  const waiting = new Map<string, (answer: boolean) => void>()
  const lines = createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> })
  let count = 0
  await new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      if (line === 'ready') return resolve()
      const [id = '', answer] = line.split(' ')
      waiting.get(id)?.(answer === 'true')
    })
  })
  return ({ from, to, port, protocol }, patienceMs) =>
    new Promise((resolve) => {
      const id = String(count++)
      waiting.set(id, resolve)
      const words = [id, protocol, from.address, to.address, port, patienceMs]
      child.stdin?.write(`${words.join(' ')}\n`)
    })
}

const PROBER = `
const net = require('net'), dgram = require('dgram')
let left = 3
const ready = () => { if (--left === 0) console.log('ready') }
for (const port of [80, 81]) net.createServer((s) => s.on('error', () => {}).end('!')).listen(port, '::', ready)
const echo = dgram.createSocket('udp6').bind(80, '::', ready)
echo.on('message', (_, from) => echo.send('!', from.port, from.address))
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [id, protocol, local, address, port, ms] = line.split(' ')
  const timer = setTimeout(() => end(false), Number(ms))
  let s
  const end = (answer) => {
    if (s === null) return
    clearTimeout(timer)
    protocol === 'tcp' ? s.destroy() : s.close()
    s = null
    console.log(id + ' ' + answer)
  }
  if (protocol === 'tcp') {
    s = net.connect({ port: Number(port), host: address, localAddress: local })
    s.on('data', () => end(true)).on('error', () => end(false))
  } else {
    s = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4').bind(0, local)
    s.on('message', () => end(true)).on('error', () => end(false))
    s.send('?', Number(port), address)
  }
})`

test.run()
