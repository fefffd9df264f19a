// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nftApply } from '../../src/kernel/nft.ts'
import { applyFirewall, firewallTransaction } from '../../src/network/firewall.ts'
import { NO_TABLE, observeFirewall } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { addressOf, lab, load, ONE_PORT, PROBE, request, shares, VIP } from './balance-lab.ts'
import type { Machine } from './lab.ts'

const lacking = hostLacks('ip', 'nft', 'nsenter', 'unshare')
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

test.run()
