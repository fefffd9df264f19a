import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import { ipBatch } from '../../src/kernel/ip.ts'
import { isPinned, listenInNetns, pinNetns, unpinNetns } from '../../src/kernel/netns.ts'
import { nftApply } from '../../src/kernel/nft.ts'
import { configure, type Interface } from '../../src/network/bridge.ts'
import { RESOLVER_ADDRESS, redirectScript } from '../../src/network/dns/inside.ts'
import {
  type Child,
  childBatch,
  hasKind,
  parentBatch,
  removeChildren,
} from '../../src/network/lan.ts'
import { interfacesOf } from '../../src/network/view.ts'
import { eventually } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { cable, type Machine, machine } from './lab.ts'

const tools = hostLacks('ip', 'nft', 'unshare', 'nsenter')
const lacks = async (...kinds: readonly string[]): Promise<string | null> => {
  const known = await Promise.all(kinds.map((kind) => hasKind(hostKernel, kind)))
  const missing = kinds.filter((_, index) => !known[index])
  return missing.length === 0 ? null : `this kernel has no links of kind ${missing.join(', ')}`
}

/** A host whose `up0` leads to a LAN with a router, and two containers of it. */
async function lan() {
  const [host, router, one, two] = [
    await machine(),
    await machine(),
    await machine(),
    await machine(),
  ]
  await cable(
    { machine: host, name: 'up0', address: '192.0.2.1/24' },
    { machine: router, name: 'up0', address: '192.0.2.2/24' },
  )
  const all = [host, router, one, two]
  return {
    ...{ host, router, one, two },
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

/** Give containers an interface on a parent of the host, as pak does. */
async function hang(
  host: Machine,
  at: Omit<Child, 'peer' | 'pid' | 'mac'>,
  members: readonly (readonly [Machine, Omit<Interface, 'name' | 'prefix'>])[],
): Promise<void> {
  const children = members.map(
    ([{ pid }], index): Child => ({
      ...at,
      peer: 'eth0',
      pid,
      mac: at.kind === 'macvlan' ? `02:50:00:00:00:0${index + 1}` : null,
    }),
  )
  await ipBatch(host.kernel, childBatch(children))
  for (const [{ pid }, own] of members)
    await configure(hostKernel, pid, [{ ...own, name: 'eth0', prefix: 24 }])
}

const pings = (from: Machine, address: string) =>
  eventually(`${address} answers`, async () => (await from.ask(address, 7)) !== '')

for (const [kind, mode] of [
  ['macvlan', 'bridge'],
  ['ipvlan', 'l2'],
] as const)
  testUnless(test, tools ?? (await lacks(kind)), `${kind}: neighbours and the LAN`, async () => {
    await using at = await lan()
    const { host, router, one, two } = at
    await router.serve('router', 7)
    await two.serve('two', 7)
    const flag = kind === 'ipvlan' ? { flag: 'bridge' as const } : {}
    await hang(host, { parent: 'up0', kind, mode, ...flag }, [
      [one, { address: '192.0.2.64', gateway: '192.0.2.2' }],
      [two, { address: '192.0.2.65', gateway: '192.0.2.2' }],
    ])
    await pings(one, '192.0.2.2')
    assert.is(await one.ask('192.0.2.65', 7), 'two 192.0.2.64')
    assert.is(await router.ask('192.0.2.65', 7), 'two 192.0.2.2')
    // The kernel keeps a link and what hangs on it apart.
    assert.is(await host.ask('192.0.2.65', 7), '')
    assert.ok(interfacesOf(hostKernel, one.pid)?.has('eth0'))
  })

testUnless(test, tools ?? (await lacks('ipvlan')), 'ipvlan l3: routed by the host', async () => {
  await using at = await lan()
  const { host, router, one, two } = at
  await two.serve('two', 7)
  await router.serve('router', 7)
  await router.run('ip', 'route', 'add', '10.30.0.0/24', 'via', '192.0.2.1')
  await hang(host, { parent: 'up0', kind: 'ipvlan', mode: 'l3', flag: 'bridge' }, [
    [one, { address: '10.30.0.2', gateway: null, onLink: true }],
    [two, { address: '10.30.0.3', gateway: null, onLink: true }],
  ])
  await pings(one, '192.0.2.2')
  assert.is(await one.ask('10.30.0.3', 7), 'two 10.30.0.2')
  assert.is(await router.ask('10.30.0.3', 7), 'two 192.0.2.2')
})

testUnless(
  test,
  tools ?? (await lacks('macvlan', 'vlan', 'dummy')),
  'parents that pak makes: a VLAN, and one that leads nowhere',
  async () => {
    await using at = await lan()
    const { host, router, one, two } = at
    await router.serve('router', 7)
    await ipBatch(router.kernel, parentBatch('up0.20', false))
    await router.run('ip', 'addr', 'add', '10.20.0.1/24', 'dev', 'up0.20')
    for (const exists of [false, true]) await ipBatch(host.kernel, parentBatch('up0.20', exists))
    await hang(host, { parent: 'up0.20', kind: 'macvlan', mode: 'bridge' }, [
      [one, { address: '10.20.0.2', gateway: '10.20.0.1' }],
    ])
    await pings(one, '10.20.0.1')
    assert.is(await one.ask('10.20.0.1', 7), 'router 10.20.0.2')

    await ipBatch(host.kernel, [...parentBatch('pakdummy', false), 'link del dev up0.20'])
    await eventually('child of VLAN gone', () => !interfacesOf(hostKernel, one.pid)?.has('eth0'))
    await two.serve('two', 7)
    await hang(host, { parent: 'pakdummy', kind: 'macvlan', mode: 'bridge' }, [
      [one, { address: '10.40.0.2', gateway: null }],
      [two, { address: '10.40.0.3', gateway: null }],
    ])
    await pings(one, '10.40.0.3')
    assert.is(await one.run('ip', 'route', 'show', 'default'), '')
  },
)

testUnless(
  test,
  tools ?? (await lacks('macvlan')),
  'what hangs in a namespace of the dead is taken out by its file',
  async () => {
    await using at = await lan()
    const { host, one } = at
    const folder = await mkdtemp(join(tmpdir(), 'pakt-lan-'))
    const file = join(folder, 'netns')
    try {
      await hang(host, { parent: 'up0', kind: 'macvlan', mode: 'bridge' }, [
        [one, { address: '192.0.2.64', gateway: null }],
      ])
      await pinNetns(hostKernel, one.pid, file)
      await pinNetns(hostKernel, one.pid, file)
      await one[Symbol.asyncDispose]()
      assert.ok(await isPinned(hostKernel, file))
      await removeChildren(hostKernel, file)
      const left = await hostKernel.run('nsenter', [`--net=${file}`, 'ip', '-o', 'link'])
      assert.not.match(left.stdout, 'eth0')
    } finally {
      await unpinNetns(hostKernel, [file])
      await rm(folder, { recursive: true })
    }
    assert.not.ok(await isPinned(hostKernel, file))
  },
)

testUnless(
  test,
  tools,
  'sockets in another namespace answer at port 53, which stays free',
  async () => {
    await using one = await machine()
    const { port, udp, tcp } = await listenInNetns(one.pid, RESOLVER_ADDRESS)
    try {
      udp.on('message', (bytes, { port: from, address }) => udp.send(`${bytes}!`, from, address))
      tcp.on('connection', (socket) => socket.on('error', () => {}).end('tcp'))
      // Twice: another agent has another port.
      await nftApply(hostKernel, redirectScript(port === 1 ? 2 : 1), { netnsPid: one.pid })
      await nftApply(hostKernel, redirectScript(port), { netnsPid: one.pid })
      assert.is(await one.askUdp(RESOLVER_ADDRESS, 53), '?!')
      assert.is(await one.ask(RESOLVER_ADDRESS, 53), 'tcp')
      await one.serveUdp('own', 53)
      assert.is(await one.askUdp('127.0.0.1', 53), 'own 127.0.0.1')
      assert.is(await one.askUdp(RESOLVER_ADDRESS, 53), '?!')
    } finally {
      udp.close()
      tcp.close()
    }
    // Not of this one.
    const here = await hostKernel.run('nft', ['list', 'tables'])
    assert.not.match(here.stdout, 'pak_names')
  },
)

test.run()
