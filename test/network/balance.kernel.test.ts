// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nftApply } from '../../src/kernel/nft.ts'
import type { Affinity } from '../../src/model/desired.ts'
import { bridgeName, createBridges } from '../../src/network/bridge.ts'
import {
  applyFirewall,
  type FirewallRequest,
  firewallTransaction,
  removeFirewall,
} from '../../src/network/firewall.ts'
import { NO_TABLE, observeFirewall } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'
import { slowness } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { attach, cable, type Machine, machine } from './lab.ts'

const lacking = hostLacks('ip', 'nft', 'nsenter', 'unshare')
const FRONT = {
  name: 'front',
  bridge: bridgeName('pakt/balance/front'),
  subnet: '10.211.1.0/24',
  gateway: '10.211.1.1',
  internal: false,
}
const BACK = {
  name: 'back',
  bridge: bridgeName('pakt/balance/back'),
  subnet: '10.211.2.0/24',
  gateway: '10.211.2.1',
  internal: false,
}
const VIP = '10.211.1.100'
const addressOf = (replica: number) => `10.211.1.${10 + replica}`

/** The service on `VIP` and on port 8080, over these replicas. */
function request(replicas: readonly number[], affinity: Affinity = 'none'): FirewallRequest {
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

interface Lab extends AsyncDisposable {
  readonly host: Machine
  readonly outside: Machine
  readonly client: Machine
  readonly back: Machine
  readonly replicas: readonly Machine[]
}

/** Replicas 0 to n-1 answer on port 80 as `r<n>`; a client beside them, one elsewhere, one outside. */
async function lab(count: number, affinity: Affinity = 'none'): Promise<Lab> {
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

async function load(
  from: Machine,
  address: string,
  { port = 80, count }: { readonly port?: number; readonly count: number },
): Promise<Readonly<Record<string, number>>> {
  const text = await from.run(process.execPath, '-e', LOAD, address, `${port}`, `${count}`)
  return JSON.parse(text)
}

/** By replica, whatever address it saw. */
function shares(counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const [answer, times] of Object.entries(counts)) {
    const name = answer.split(' ')[0] ?? ''
    found[name] = (found[name] ?? 0) + times
  }
  return found
}

testUnless(
  test,
  lacking,
  '10,000 connections to a service: each of four replicas within a fifth of a quarter',
  async () => {
    await using here = await lab(4)
    const counts = await load(here.client, VIP, { count: 10_000 })
    assert.equal(
      Object.keys(counts).sort(),
      [0, 1, 2, 3].map((n) => `r${n} 10.211.1.5`),
    )
    for (const [answer, times] of Object.entries(counts))
      assert.ok(times > 2_000 && times < 3_000, `${answer}: ${times}`)
    const published = await load(here.outside, '203.0.113.1', { port: 8080, count: 1_000 })
    assert.equal(
      Object.keys(published).sort(),
      [0, 1, 2, 3].map((n) => `r${n} 203.0.113.2`),
    )
    for (const [answer, times] of Object.entries(published))
      assert.ok(times > 150 && times < 350, `${answer}: ${times}`)
    const local = await load(here.host, '127.0.0.1', { port: 8080, count: 100 })
    assert.equal(Object.keys(shares(local)).sort(), ['r0', 'r1', 'r2', 'r3'])
  },
)

/** Counts what this host routes. */
const PROBE = `
add table ip probe
add counter ip probe routed
add chain ip probe seen { type filter hook forward priority 0; }
add rule ip probe seen counter name routed`

/** The same with and without what hands a bridge's frames to iptables: Docker and Kubernetes turn it on. */
for (const filter of ['0', '1'])
  testUnless(
    test,
    lacking,
    `a service answers who is on its network, and nobody else; bridge-nf-call-iptables ${filter}`,
    async () => {
      await using here = await lab(2)
      const { host, outside, client, back, replicas } = here
      const [first] = replicas as [Machine]
      const sysctl = '/proc/sys/net/bridge/bridge-nf-call-iptables'
      await host.run('sh', '-c', `[ ! -e ${sysctl} ] || echo ${filter} > ${sysctl}`)
      const seen = await load(client, VIP, { count: 40 })
      assert.equal(Object.keys(seen).sort(), ['r0 10.211.1.5', 'r1 10.211.1.5'])
      // To itself it can only come from another address than its own.
      const own = await load(first, VIP, { count: 40 })
      assert.equal(Object.keys(own).sort(), ['r0 10.211.1.1', 'r1 10.211.1.10'])
      await host.run('nft', PROBE)
      assert.is(await client.ask(addressOf(0), 80), 'r0 10.211.1.5', 'by its own address')
      await client.serve('c', 82)
      assert.is(await first.ask('10.211.1.5', 82), 'c 10.211.1.10', 'a replica asks, too')
      if (filter === '0')
        assert.not.match(await host.run('nft', 'list', 'counters'), /packets [1-9]/)
      assert.match(await client.ask(VIP, 80), '10.211.1.5')
      assert.match(await host.run('nft', 'list', 'counters'), /packets [1-9]/)
      await outside.run('ip', 'route', 'add', '10.211.0.0/16', 'via', '203.0.113.1')
      assert.is(await outside.ask(VIP, 80), '')
      assert.is(await back.ask(VIP, 80), '')
      // What this host itself listens on is not the service's.
      await host.serve('host', 81)
      assert.is(await back.ask(VIP, 81), '')
      assert.is(await client.ask(VIP, 81), '')
      await replicas[1]?.serveUdp('u1', 53)
      await first.serveUdp('u0', 53)
      assert.match(await client.askUdp(VIP, 53), /^u[01] 10\.211\.1\.5$/)
    },
  )

testUnless(
  test,
  lacking,
  'without a table of family bridge a service answers too, but its replicas see the gateway',
  async () => {
    await using here = await lab(2)
    const asked = request([0, 1])
    await here.host.run('nft', 'flush', 'ruleset')
    await nftApply(
      here.host.kernel,
      firewallTransaction({ ...asked, previous: NO_TABLE, kept: false }),
    )
    const seen = await load(here.client, VIP, { count: 40 })
    assert.equal(Object.keys(seen).sort(), ['r0 10.211.1.1', 'r1 10.211.1.1'])
    const facts = await observeFirewall(here.host.kernel, 'pak_t', { lifts: true })
    assert.is(projectFirewall(facts, asked).services[0]?.targets.length, 2)
  },
)

/** Says something every 20 ms to whoever has connected. */
const PUSHING = `
require('net').createServer((s) => { s.on('error', () => {}); setInterval(() => s.write('.'), 20) })
  .listen(83, '0.0.0.0', () => console.log('ready'))`

const LISTENING = `
require('net').connect(83, process.argv[1]).on('data', (d) => console.log(String(d).length)).on('close', () => process.exit(1))`

testUnless(
  test,
  lacking,
  'what is forgotten of who talks to whom directly breaks nothing',
  async () => {
    await using here = await lab(1)
    const { host, client, replicas } = here
    const server = replicas[0]?.start(process.execPath, '-e', PUSHING)
    assert.ok(server?.stdout)
    await once(server.stdout, 'data')
    const listener = client.start(process.execPath, '-e', LISTENING, addressOf(0))
    assert.ok(listener.stdout)
    const lines = createInterface({ input: listener.stdout })[Symbol.asyncIterator]()
    for (let round = 0; round < 5; round++) {
      await host.run('nft', 'flush', 'set', 'bridge', 'pak_t', 'direct')
      for (let line = 0; line < 10; line++) assert.is((await lines.next()).done, false)
    }
  },
)

const ONE_SOCKET = `
const addresses = process.argv.slice(1)
const s = require('dgram').createSocket('udp4')
const next = () => addresses.length > 0 ? s.send('?', 80, addresses.shift()) : process.exit()
s.on('message', (d, from) => { console.log(String(d) + ' from ' + from.address); next() })
setTimeout(() => process.exit(), 5000)
next()`

/** Connects from port 40000 to each address in turn, and prints what answers and after how many milliseconds. */
const ONE_PORT = `
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

testUnless(
  test,
  lacking,
  'from one port, to the same replica directly and by its service',
  async () => {
    await using here = await lab(1)
    const { client } = here
    const turns = [addressOf(0), VIP, addressOf(0), VIP, VIP, addressOf(0)]
    const said = await client.run(process.execPath, '-e', ONE_PORT, ...turns)
    for (const line of said.split('\n')) assert.match(line, 'r0 10.211.1.5')
    await here.replicas[0]?.serveUdp('u0', 80)
    const heard = await client.run(process.execPath, '-e', ONE_SOCKET, ...turns)
    assert.equal(
      heard.split('\n'),
      turns.map((address) => `u0 10.211.1.5 from ${address}`),
    )
  },
)

/** Sends from one port every 50 ms, and prints who answers each time. */
const DATAGRAMS = `
const [address, port] = process.argv.slice(1)
const s = require('dgram').createSocket('udp4')
s.on('message', (d) => console.log(String(d))).on('error', () => {})
setInterval(() => s.send('?', Number(port), address), 50)`

testUnless(
  test,
  lacking ?? hostLacks('conntrack'),
  'a client that goes on sending datagrams is moved when its replica leaves',
  async () => {
    await using here = await lab(2)
    const { host, client, replicas } = here
    for (const [index, replica] of replicas.entries()) await replica.serveUdp(`u${index}`, 53)
    const sender = client.start(process.execPath, '-e', DATAGRAMS, VIP, '53')
    assert.ok(sender.stdout)
    const lines = createInterface({ input: sender.stdout })[Symbol.asyncIterator]()
    const first = String((await lines.next()).value)
    const stays = first.startsWith('u0') ? 1 : 0
    await replicas[1 - stays]?.[Symbol.asyncDispose]()
    await applyFirewall(host.kernel, request([stays]))
    let now = first
    while (now === first) now = String((await lines.next()).value)
    assert.is(now, `u${stays} 10.211.1.5`)
  },
)

/** Holds `count` connections and says each second how many of them still answer. */
const HOLD = `
const [address, port, count] = process.argv.slice(1)
const net = require('net')
const held = Array.from({ length: Number(count) }, () => {
  const one = { name: '', echoes: 0, closed: false }
  one.socket = net.connect(Number(port), address)
  one.socket.setEncoding('utf8')
  one.socket.on('data', (d) => { if (one.name === '') one.name = d.trim(); else one.echoes++ })
  one.socket.on('close', () => { one.closed = true }).on('error', () => {})
  return one
})
setInterval(() => held.forEach((one) => one.name && !one.closed && one.socket.write('?')), 50)
setInterval(() => console.log(JSON.stringify(held.map(({ name, echoes, closed }) => ({ name, echoes, closed })))), 100)`

const HOLDING = `
const [name, port] = process.argv.slice(1)
require('net').createServer((s) => { s.on('error', () => {}); s.write(name + '\\n'); s.on('data', (d) => s.write(d)) })
  .listen(Number(port), '0.0.0.0', () => console.log('ready'))`

interface Held {
  readonly name: string
  readonly echoes: number
  readonly closed: boolean
}

testUnless(
  test,
  lacking,
  'a replica that leaves under load: nobody comes to it any more, and nobody else notices',
  async () => {
    await using here = await lab(4)
    const { host, client, replicas } = here
    for (const [index, replica] of replicas.entries()) {
      const server = replica.start(process.execPath, '-e', HOLDING, `h${index}`, '81')
      await once(server.stdout ?? server, 'data')
    }
    const holder = client.start(process.execPath, '-e', HOLD, VIP, '81', '40')
    assert.ok(holder.stdout)
    const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]()
    const held = async (): Promise<readonly Held[]> => JSON.parse((await lines.next()).value)
    while (!(await held()).every(({ name, echoes }) => name !== '' && echoes > 2));
    const during = load(client, VIP, { count: 3_000 })
    const [service] = request([0, 1, 3]).services
    assert.ok(service)
    const services = [{ ...service, former: [addressOf(2)] }]
    await applyFirewall(host.kernel, { ...request([0, 1, 3]), services })
    const after = shares(await load(client, VIP, { count: 1_000 }))
    assert.equal(Object.keys(after).sort(), ['r0', 'r1', 'r3'])
    assert.is(shares(await during)['error'], undefined, 'a connection was broken')
    // Who leaves may finish what it has begun.
    const while2 = await held()
    const echoed = (now: readonly Held[]) =>
      now.every(({ echoes }, index) => echoes > (while2[index]?.echoes ?? 0) + 2)
    const until = Date.now() + 5_000 * slowness
    while (!echoed(await held())) assert.ok(Date.now() < until, 'one that leaves went silent')
    await replicas[2]?.[Symbol.asyncDispose]()
    const before = await held()
    const others = before.filter(({ name }) => name !== 'h2')
    assert.ok(others.length < before.length, 'none was held with the one that left')
    let now = before
    const deadline = Date.now() + 5_000 * slowness
    const goes = (one: Held, index: number) => one.echoes > (before[index]?.echoes ?? 0) + 5
    while (Date.now() < deadline && !now.every((one, i) => one.name === 'h2' || goes(one, i)))
      now = await held()
    for (const [index, one] of now.entries())
      if (one.name !== 'h2') assert.ok(!one.closed && goes(one, index), JSON.stringify(one))
  },
)

testUnless(
  test,
  lacking,
  'a service by its address of IPv6, and its replicas by theirs',
  async () => {
    const [subnet6, gateway6, vip6] = ['fd00:211:1::/64', 'fd00:211:1::1', 'fd00:211:1::100']
    const front = { ...FRONT, subnet6 }
    const all = await Promise.all([machine(), machine(), machine(), machine()])
    const [host, client, ...replicas] = all as [Machine, Machine, Machine, Machine]
    try {
      await createBridges(host.kernel, [
        {
          ...{ name: FRONT.bridge, gateway: FRONT.gateway, prefix: 24, services: [VIP, vip6] },
          ipv6: { gateway: gateway6, prefix: 64 },
        },
      ])
      const end = (last: number) => ({
        ...{ bridge: FRONT.bridge, gateway: FRONT.gateway, address: `10.211.1.${last}` },
        ipv6: { address: `fd00:211:1::${last}`, gateway: gateway6 },
      })
      await attach(host, client, [end(5)])
      for (const [index, replica] of replicas.entries()) {
        await attach(host, replica, [end(10 + index)])
        await replica.serve(`r${index}`, 80, '::')
      }
      const asked = (indexes: readonly number[]): FirewallRequest => ({
        ...request(indexes),
        networks: [front],
        published: [],
        services: [
          ...request(indexes).services,
          {
            ...{ bridge: FRONT.bridge, address: vip6, affinity: 'none' as const },
            targets: indexes.map((index) => `fd00:211:1::${10 + index}`),
          },
        ],
      })
      await applyFirewall(host.kernel, asked([0, 1]))
      const facts = await observeFirewall(host.kernel, 'pak_t', { lifts: true })
      assert.equal(projectFirewall(facts, asked([])).services.length, 2)
      // What hands a bridge's frames to ip6tables would have them counted, too.
      const sysctl = '/proc/sys/net/bridge/bridge-nf-call-ip6tables'
      await host.run('sh', '-c', `[ ! -e ${sysctl} ] || echo 0 > ${sysctl}`)
      await host.run('nft', PROBE.replaceAll(' ip probe', ' ip6 probe'))
      assert.is(await client.ask('fd00:211:1::10', 80), 'r0 fd00:211:1::5')
      await client.serve('c', 82, '::')
      assert.is(await replicas[0]?.ask('fd00:211:1::5', 82), 'c fd00:211:1::10')
      assert.not.match(await host.run('nft', 'list', 'counters'), /packets [1-9]/)
      const seen = await load(client, vip6, { count: 200 })
      assert.equal(Object.keys(seen).sort(), ['r0 fd00:211:1::5', 'r1 fd00:211:1::5'])
      const own = await load(replicas[0] ?? client, vip6, { count: 40 })
      assert.equal(Object.keys(shares(own)).sort(), ['r0', 'r1'])
      await client.run(process.execPath, '-e', ONE_PORT, 'fd00:211:1::10', vip6, 'fd00:211:1::10')
      await applyFirewall(host.kernel, asked([1]))
      assert.equal(Object.keys(await load(client, vip6, { count: 40 })), ['r1 fd00:211:1::5'])
      // Who is asked whose it is answers, but nobody else's port does.
      await client.run('ip', '-6', 'neigh', 'flush', 'all')
      assert.is(await client.ask(vip6, 80), 'r1 fd00:211:1::5')
      await removeFirewall(host.kernel, asked([]))
      await host.run('nft', 'delete table ip6 probe')
      assert.is(await host.run('nft', 'list', 'ruleset'), '')
    } finally {
      await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))
    }
  },
)

testUnless(test, lacking, 'a replica leaves a published port of IPv6, too', async () => {
  await using host = await machine()
  const asked = (replicas: readonly number[]): FirewallRequest => ({
    ...request([]),
    services: [],
    published: replicas.flatMap((replica) =>
      [
        ['0.0.0.0', addressOf(replica)],
        ['::', `fd00:211::${10 + replica}`],
      ].map(([hostIp = '', address = '']) => ({
        ...{ container: `web-${replica}`, address, hostIp, published: 8080, target: 80 },
        ...{ protocol: 'tcp' as const, affinity: 'none' as const },
      })),
    ),
  })
  await applyFirewall(host.kernel, asked([0, 1, 2]))
  await applyFirewall(host.kernel, asked([0, 2]))
  assert.not.match(await host.run('nft', 'list', 'ruleset'), 'fd00:211::11')
})

testUnless(test, lacking, 'by client: always the same, until it leaves', async () => {
  await using here = await lab(3, 'client_ip')
  const { host, client, outside } = here
  for (const [from, address, port] of [
    [client, VIP, 80],
    [outside, '203.0.113.1', 8080],
  ] as const) {
    await applyFirewall(host.kernel, request([0, 1, 2], 'client_ip'))
    const [first, ...more] = Object.keys(shares(await load(from, address, { port, count: 60 })))
    assert.equal(more, [], 'one replica for one client')
    const left = Number(first?.slice(1))
    const others = [0, 1, 2].filter((one) => one !== left)
    const stays = others[0] ?? 0
    await applyFirewall(host.kernel, request(others, 'client_ip'))
    const next = Object.keys(shares(await load(from, address, { port, count: 60 })))
    assert.is(next.length, 1)
    assert.not.equal(next, [first])
    // Whoever else leaves, this client stays where it is.
    await applyFirewall(host.kernel, request([left, stays], 'client_ip'))
    assert.equal(Object.keys(shares(await load(from, address, { port, count: 60 }))), [first])
  }
})

testUnless(
  test,
  lacking,
  'what spreads connections is seen when it is damaged, and mended',
  async () => {
    await using host = await machine()
    const asked = request([0, 1])
    const look = async () =>
      projectFirewall(await observeFirewall(host.kernel, 'pak_t', { lifts: true }), asked)
    await createBridges(host.kernel, [{ name: FRONT.bridge, gateway: FRONT.gateway, prefix: 24 }])
    await applyFirewall(host.kernel, asked)
    const whole = await look()
    assert.is(whole.published.length, 2)
    assert.equal(whole.services, [
      {
        bridge: FRONT.bridge,
        address: VIP,
        affinity: 'none',
        targets: ['10.211.1.10', '10.211.1.11'],
      },
    ])
    for (const damage of [
      'flush ruleset',
      'flush chain inet pak_t to_tcp_8080',
      'delete table bridge pak_t',
      `flush chain inet pak_t to_${FRONT.bridge}_10_211_1_100`,
      `delete element inet pak_t vips { ${VIP} }`,
      'flush set inet pak_t loops',
      'flush map inet pak_t balanced_any',
      'flush map inet pak_t services',
      'flush map bridge pak_t answers',
      'flush set bridge pak_t replicas',
      'flush chain bridge pak_t prerouting',
      'flush chain bridge pak_t output',
    ]) {
      await host.run('nft', damage)
      assert.not.equal(await look(), whole, damage)
      await applyFirewall(host.kernel, asked)
      assert.equal(await look(), whole, damage)
    }
    const alone = request([0])
    await applyFirewall(host.kernel, { ...alone, services: [] })
    const single = await look()
    assert.equal(single.services, [])
    assert.equal(
      single.published.map(({ address }) => address),
      [addressOf(0)],
    )
    assert.not.match(await host.run('nft', 'list', 'ruleset'), /to_|@direct/)
    await applyFirewall(host.kernel, asked)
    await removeFirewall(host.kernel, asked)
    assert.is(await host.run('nft', 'list', 'ruleset'), '')
  },
)

test.run()
