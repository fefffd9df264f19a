// not in the emulated machine: nothing of it depends on the version of cgroups, and emulated packets take minutes
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeName, createBridges, removeBridges } from '../../src/network/bridge.ts'
import { applyFirewall, type FirewallNetwork, removeFirewall } from '../../src/network/firewall.ts'
import { observeFirewall } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'
import { portHolders } from '../../src/network/ports.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { attach, cable, type Machine, machine } from './lab.ts'

const lacking = hostLacks('ip', 'nft', 'nsenter', 'unshare')

const network = (index: number, internal = false): FirewallNetwork => ({
  name: `n${index}`,
  bridge: bridgeName(`pakt/n${index}`),
  subnet: `10.210.${index}.0/24`,
  gateway: `10.210.${index}.1`,
  internal,
})
const NETWORKS = [network(1), network(2), network(3, true)]
const [FRONT, BACK, CLOSED] = NETWORKS as [FirewallNetwork, FirewallNetwork, FirewallNetwork]
const REQUEST = {
  table: 'pak_t',
  project: 'shop',
  dnsPort: 5353,
  services: [],
  lifts: false,
  others: [],
  networks: NETWORKS,
  published: [
    { hostIp: '0.0.0.0', published: 8080, address: '10.210.1.2', target: 80 },
    { hostIp: '127.0.0.1', published: 8081, address: '10.210.1.2', target: 80 },
    { hostIp: '203.0.113.1', published: 8082, address: '10.210.1.2', target: 80 },
    { hostIp: '0.0.0.0', published: 8083, address: '10.210.3.2', target: 80 },
    {
      hostIp: '0.0.0.0',
      published: 8080,
      address: '10.210.1.3',
      target: 53,
      protocol: 'udp' as const,
    },
  ].map((port) => ({
    protocol: 'tcp' as const,
    ...port,
    container: 'web',
    affinity: 'none' as const,
  })),
}

/** What is used of ip-address(8)'s JSON. */
interface Shown {
  readonly ifname?: string
  readonly flags: readonly string[]
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[]
}

interface Lab extends AsyncDisposable {
  readonly host: Machine
  /** Another machine on the host's wire: 203.0.113.2, the host is 203.0.113.1. */
  readonly outside: Machine
  readonly web: Machine
  readonly peer: Machine
  readonly back: Machine
  readonly closed: Machine
}

/** web and peer on n1, back on n2, closed on the internal n3; web serves port 80, outside port 9000. */
async function lab(): Promise<Lab> {
  const stack = new AsyncDisposableStackLike()
  const [host, outside, web, peer, back, closed] = (await Promise.all(
    Array.from({ length: 6 }, async () => stack.use(await machine())),
  )) as [Machine, Machine, Machine, Machine, Machine, Machine]
  await cable(
    { machine: host, name: 'up0', address: '203.0.113.1/24' },
    { machine: outside, name: 'eth0', address: '203.0.113.2/24' },
  )
  const bridges = NETWORKS.map(({ bridge, gateway }) => ({ name: bridge, gateway, prefix: 24 }))
  await createBridges(host.kernel, bridges)
  await applyFirewall(host.kernel, REQUEST)
  const on = ({ bridge, gateway, internal }: FirewallNetwork, last: number) => ({
    bridge,
    address: gateway.replace(/1$/, `${last}`),
    gateway: internal ? null : gateway,
  })
  await attach(host, web, [on(FRONT, 2)])
  await attach(host, peer, [on(FRONT, 3)])
  await attach(host, back, [on(BACK, 2)])
  await attach(host, closed, [on(CLOSED, 2)])
  await Promise.all([
    ...[web, peer, back, closed].map((container, index) => container.serve(`c${index}`, 80)),
    outside.serve('outside', 9000),
  ])
  return {
    host,
    outside,
    web,
    peer,
    back,
    closed,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

class AsyncDisposableStackLike implements AsyncDisposable {
  readonly #held: AsyncDisposable[] = []
  use<T extends AsyncDisposable>(value: T): T {
    this.#held.push(value)
    return value
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#held.map((held) => held[Symbol.asyncDispose]()))
  }
}

testUnless(test, lacking, 'who reaches whom', async () => {
  await using here = await lab()
  const { host, outside, web, peer, back, closed } = here
  // A stranger that routes to the containers, and one that sends to loopback over the wire.
  await outside.run('ip', 'route', 'add', '10.210.0.0/16', 'via', '203.0.113.1')
  const asks: readonly [string, Promise<string>, string][] = [
    ['same network', peer.ask('10.210.1.2', 80), 'c0 10.210.1.3'],
    ['other network', back.ask('10.210.1.2', 80), ''],
    ['other network, back', peer.ask('10.210.2.2', 80), ''],
    ['into internal', peer.ask('10.210.3.2', 80), ''],
    ['outwards, masqueraded', web.ask('203.0.113.2', 9000), 'outside 203.0.113.1'],
    ['outwards from internal', closed.ask('203.0.113.2', 9000), ''],
    [
      'published, another machine, address kept',
      outside.ask('203.0.113.1', 8080),
      'c0 203.0.113.2',
    ],
    ['published, host address', host.ask('203.0.113.1', 8080), 'c0 10.210.1.1'],
    ['published, 127.0.0.1', host.ask('127.0.0.1', 8080), 'c0 10.210.1.1'],
    ['published, hairpin to itself', web.ask('203.0.113.1', 8080), 'c0 10.210.1.1'],
    ['published, hairpin by the gateway', web.ask('10.210.1.1', 8080), 'c0 10.210.1.1'],
    ['published, same network', peer.ask('203.0.113.1', 8080), 'c0 10.210.1.1'],
    ['published, other network', back.ask('203.0.113.1', 8080), 'c0 10.210.1.1'],
    ['loopback only, from the host', host.ask('127.0.0.1', 8081), 'c0 10.210.1.1'],
    ['loopback only, by host address', host.ask('203.0.113.1', 8081), ''],
    ['loopback only, another machine', outside.ask('203.0.113.1', 8081), ''],
    ['loopback only, other network', back.ask('10.210.2.1', 8081), ''],
    ['one address', outside.ask('203.0.113.1', 8082), 'c0 203.0.113.2'],
    ['one address, not loopback', host.ask('127.0.0.1', 8082), ''],
    ['published of internal, host', host.ask('127.0.0.1', 8083), 'c3 10.210.3.1'],
    ['published of internal, another machine', outside.ask('203.0.113.1', 8083), ''],
    ['unpublished, routed to', outside.ask('10.210.1.2', 80), ''],
  ]
  const answers = await Promise.all(asks.map(async ([name, asked]) => [name, await asked] as const))
  assert.equal(
    Object.fromEntries(answers),
    Object.fromEntries(asks.map(([name, , expected]) => [name, expected])),
  )
})

testUnless(test, lacking, 'packets to 127/8 from a neighbour are dropped', async () => {
  await using here = await lab()
  const { host, outside, peer } = here
  await host.serve('secret', 7000, '127.0.0.1')
  for (const [neighbour, gateway] of [
    [outside, '203.0.113.1'],
    [peer, '10.210.1.1'],
  ] as const) {
    // Loopback must leave by the wire: as an attacker on the same segment does it.
    await neighbour.run('ip', 'addr', 'del', '127.0.0.1/8', 'dev', 'lo')
    await neighbour.run('ip', 'route', 'flush', 'table', 'local', 'dev', 'lo')
    await neighbour.kernel.writeText('/proc/sys/net/ipv4/conf/all/route_localnet', '1')
    await neighbour.run('ip', 'route', 'add', '127.0.0.1/32', 'via', gateway, 'dev', 'eth0')
    assert.is(await neighbour.ask('127.0.0.1', 7000), '', 'a loopback listener')
    assert.is(await neighbour.ask('127.0.0.1', 8081), '', 'a loopback port')
  }
  assert.is(await host.ask('127.0.0.1', 7000), 'secret 127.0.0.1')
})

testUnless(test, lacking, 'a udp port beside the tcp port of the same number', async () => {
  await using here = await lab()
  const { host, outside, peer, back } = here
  await peer.serveUdp('names', 53)
  assert.is(await outside.askUdp('203.0.113.1', 8080), 'names 203.0.113.2')
  assert.is(await host.askUdp('127.0.0.1', 8080), 'names 10.210.1.1')
  assert.is(await back.askUdp('203.0.113.1', 8080), 'names 10.210.1.1')
  assert.is(await peer.askUdp('203.0.113.1', 8080), 'names 10.210.1.1')
  assert.match(await outside.ask('203.0.113.1', 8080), 'c0')
  assert.is(await outside.askUdp('203.0.113.1', 8082), '')
})

testUnless(
  test,
  lacking,
  'one container on two networks talks on both, not between them',
  async () => {
    await using here = await lab()
    const { host, peer, back } = here
    await using middle = await machine()
    await attach(host, middle, [
      { bridge: BACK.bridge, address: '10.210.2.9', gateway: BACK.gateway },
      { bridge: FRONT.bridge, address: '10.210.1.9', gateway: null },
    ])
    await middle.serve('middle', 80)
    assert.is(await peer.ask('10.210.1.9', 80), 'middle 10.210.1.3')
    assert.is(await back.ask('10.210.2.9', 80), 'middle 10.210.2.2')
    assert.is(await peer.ask('10.210.2.9', 80), '')
    assert.is(await middle.ask('10.210.1.2', 80), 'c0 10.210.1.9')
  },
)

testUnless(
  test,
  lacking,
  'a flush, a lost element and a lost rule are seen and mended',
  async () => {
    await using host = await machine()
    const look = async () =>
      projectFirewall(await observeFirewall(host.kernel, REQUEST.table, { lifts: false }), REQUEST)
    await applyFirewall(host.kernel, REQUEST)
    const whole = await look()
    assert.equal(whole.networks, ['n1', 'n2', 'n3'])
    assert.is(whole.published.length, 5)
    const blog = { ...REQUEST, project: 'blog', networks: [network(9)], published: [] }
    await applyFirewall(host.kernel, blog)
    for (const damage of [
      'flush ruleset',
      'delete element inet pak_t published_any { tcp . 8080 }',
      'flush set inet pak_t internal',
      'flush chain inet pak_t forward',
      'delete chain inet pak_t guard',
      'add element inet pak_t published_any { tcp . 1 : 10.210.1.2 . 80 }',
    ]) {
      await host.run('nft', damage)
      if (!damage.startsWith('add')) assert.not.equal(await look(), whole, damage)
      await applyFirewall(host.kernel, REQUEST)
      assert.equal(await look(), whole, damage)
      if (damage === 'flush ruleset') await applyFirewall(host.kernel, blog)
    }
    assert.equal(
      projectFirewall(await observeFirewall(host.kernel, 'pak_t', { lifts: false }), blog).networks,
      ['n9'],
    )
    await removeFirewall(host.kernel, REQUEST)
    await removeFirewall(host.kernel, REQUEST)
    await removeFirewall(host.kernel, blog)
    assert.is(await host.run('nft', 'list', 'ruleset'), '')
  },
)

testUnless(test, lacking, 'bridges are made, mended and removed', async () => {
  await using host = await machine()
  const bridges = NETWORKS.map(({ bridge, gateway }) => ({ name: bridge, gateway, prefix: 24 }))
  const [first, second] = bridges as [(typeof bridges)[0], (typeof bridges)[0]]
  const look = async () =>
    (JSON.parse(await host.run('ip', '-j', '-4', 'addr', 'show', 'type', 'bridge')) as Shown[])
      .filter(({ ifname }) => ifname !== undefined)
      .map(({ ifname, flags, addr_info }) => [
        ifname,
        flags.includes('UP'),
        ...addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      ])
  await createBridges(host.kernel, bridges)
  const whole = bridges.map(({ name, gateway }) => [name, true, `${gateway}/24`])
  assert.equal(await look(), whole)
  await host.run('ip', 'link', 'set', first.name, 'down')
  await host.run('ip', 'addr', 'flush', 'dev', second.name)
  await host.run('ip', 'addr', 'add', '10.99.0.1/24', 'dev', second.name)
  await createBridges(host.kernel, bridges)
  assert.equal(await look(), whole)
  const names = bridges.map(({ name }) => name)
  await removeBridges(host.kernel, names)
  await removeBridges(host.kernel, names)
  assert.equal(await look(), [])
  await host.run('ip', 'link', 'add', first.name, 'type', 'veth')
  await createBridges(host.kernel, bridges).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /is no bridge/),
  )
})

testUnless(test, lacking, 'the holder of a port is named', async () => {
  await using host = await machine()
  await host.serve('all', 7001)
  await host.serve('six', 7002, '::')
  await host.serve('one', 7003, '127.0.0.1')
  const holder = (hostIp: string, port: number) =>
    portHolders(host.kernel, [{ protocol: 'tcp', hostIp, port }]).then(([found]) => found)
  for (const [hostIp, port] of [
    ['0.0.0.0', 7001],
    ['192.0.2.9', 7001],
    ['0.0.0.0', 7002],
    ['0.0.0.0', 7003],
    ['127.0.0.1', 7003],
  ] as const) {
    const found = await holder(hostIp, port)
    assert.is(found?.command, 'node', `${hostIp}:${port}`)
    assert.ok((found?.pid ?? 0) > 1)
  }
  assert.is(await holder('192.0.2.9', 7003), null)
  assert.is(await holder('0.0.0.0', 7004), null)
  await host.serveUdp('udp', 7004)
  assert.is(await holder('0.0.0.0', 7004), null)
  const [udp] = await portHolders(host.kernel, [
    { protocol: 'udp', hostIp: '127.0.0.1', port: 7004 },
  ])
  assert.is(udp?.command, 'node')
})

test.run()
