// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBridges } from '../../src/network/bridge.ts'
import { applyFirewall, type FirewallRequest, removeFirewall } from '../../src/network/firewall.ts'
import { observeFirewall } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'
import { slowness } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import {
  addressOf,
  FRONT,
  lab,
  load,
  ONE_PORT,
  PROBE,
  request,
  shares,
  VIP,
} from './balance-lab.ts'
import { attach, type Machine, machine } from './lab.ts'

const lacking = hostLacks('ip', 'nft', 'nsenter', 'unshare')
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
