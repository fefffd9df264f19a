// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Machine } from '../network/lab.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { type Fleet, fleet, lacksWireguard, tellIn } from './machines.ts'
import { containers, lacking, pids } from './stage.ts'

const PEERS = ['one', 'two', 'three']
const SLEEPS = 'rootfs: /\n    stop_signal: SIGKILL\n    command: [sleep, "100000"]'
/** Answers each connection with its host's name. */
const SERVES = `require('net').createServer((s) => s.on('error', () => {}).end(require('os').hostname())).listen(80)`

/** Every machine has this file. `near` is on each, `at-PEER` on that one, `web` as often as it says on two. */
const manifest = (peers: readonly string[]): string => `name: pakto
containers:
  near:
    ${SLEEPS}
    networks: [mesh]
${peers
  .map((peer) => `  at-${peer}:\n    ${SLEEPS}\n    hosts: [${peer}]\n    networks: [mesh]\n`)
  .join('')}  web:
    rootfs: /
    stop_signal: SIGKILL
    command: ${JSON.stringify([process.execPath, '-e', SERVES])}
    replicas: 2
    hosts: [two, three]
    expose: ["80"]
    networks: [mesh]
    policies: { ingress: { allow: [{ from: { cidr: 10.61.0.0/18 } }] } }
networks:
  mesh:
    driver: vxlan
    subnet: 10.61.0.0/16
    driver_opts: { vni: 77 }
    peers: { ${peers.map((peer) => `${peer}: ${underlay(peer)}`).join(', ')} }
`
const underlay = (peer: string): string => `192.0.2.${PEERS.indexOf(peer) + 1}`

testUnless(
  test,
  lacking,
  'three machines: by address and by name, replicas and policies; a peer lost and back, damage undone',
  async () => {
    await using machines = await fleet(4, 1)
    const [one, two, three] = await started(machines)
    assert.equal(addressesOf(await containers(one)), {
      'pakto-at-one-1': '10.61.0.2',
      'pakto-near-1': '10.61.0.3',
    })
    for (const [pak, address] of [
      [one, '10.61.64.2'],
      [two, '10.61.128.2'],
      [three, '10.61.0.2'],
    ] as const)
      await eventually(address, () => reaches(pak, address))
    assert.equal(await named(one, 'at-two'), ['10.61.64.2'])
    assert.equal(await named(three, 'at-two'), ['10.61.64.2'])
    assert.equal(await named(two, 'near'), ['10.61.0.3', '10.61.128.3', '10.61.64.3'])
    assert.match(await tell(one, 'getent', 'hosts', '10.61.64.2'), 'pakto-at-two-1')
    await replicasAnswer(one, two)
    await keysAndRefusal(one)
    await strangersStayOut(machines, one)
    await comesBack(machines, [one, two])
    await undone(machines, [one, two])
    await shrinks(machines, one)
    await one.ok(['down'])
    const [first] = machines.machines
    assert.is(await first?.run('ip', '-o', 'link', 'show', 'type', 'vxlan'), '')
  },
)

async function started(machines: Fleet): Promise<readonly [PakSandbox, PakSandbox, PakSandbox]> {
  const [one, two, three] = machines.sandboxes
  assert.ok(one !== undefined && two !== undefined && three !== undefined)
  await Promise.all(machines.sandboxes.map((pak) => pak.write('pak.yaml', manifest(PEERS))))
  await Promise.all(machines.sandboxes.map((pak) => pak.ok(['up', '-d'])))
  return [one, two, three]
}

/** Each machine's virtual address, and the policies of the machine that it is on. */
async function replicasAnswer(one: PakSandbox, two: PakSandbox): Promise<void> {
  const addresses = await named(one, 'web')
  assert.is(addresses.length, 2)
  await eventually('replicas', async () => (await ask(one, addresses[0])) !== '')
  for (const address of addresses) {
    const answers = new Set<string>()
    await eventually(`both replicas of ${address}`, async () => {
      answers.add(await ask(one, address))
      return answers.size === 2 && !answers.has('')
    })
  }
  assert.equal((await named(one, 'tasks.web')).length, 4)
  const all = [...addresses, ...(await named(one, 'tasks.web'))]
  const answers = (pak: PakSandbox) => Promise.all(all.map((address) => ask(pak, address)))
  assert.not.ok((await answers(one)).includes(''))
  assert.equal(new Set(await answers(two)), new Set(['']))
}

/** The key is made once; a kernel without WireGuard refuses what it cannot encrypt. */
async function keysAndRefusal(one: PakSandbox): Promise<void> {
  const key = (await one.ok(['network', 'key'])).trim()
  assert.match(key, /^[A-Za-z0-9+/]{43}=$/)
  assert.is((await one.ok(['network', 'key'])).trim(), key)
  const { mode } = await stat(join(one.root, 'wireguard.key'))
  assert.is(mode & 0o777, 0o600)
  const secret = PEERS.map((at) => `${at}: { address: ${underlay(at)}, public_key: ${key} }`)
  const text = manifest(PEERS).replace(
    /peers: .*/,
    `encrypted: true\n    peers: { ${secret.join(', ')} }`,
  )
  await one.write('secret.yaml', text)
  const { exitCode, stderr } = await one.run(['up', '-d', '-f', 'secret.yaml', '-p', 'paktsecret'])
  assert.is.not(exitCode, 0)
  assert.match(stderr, lacksWireguard() === null ? 'overlaps' : /no WireGuard|wireguard-tools/)
}

/** Who has the network's number gets in only with a peer's address. */
async function strangersStayOut(machines: Fleet, one: PakSandbox): Promise<void> {
  const [first] = machines.machines
  const [stranger] = machines.machines.slice(-1)
  assert.ok(stranger !== undefined && first !== undefined)
  await tunnelTo(stranger, '192.0.2.4')
  assert.not.ok(await pings(stranger, '10.61.0.3'))
  await machines.plug(2, 'down')
  await stranger.run('ip', 'addr', 'replace', '192.0.2.3/24', 'dev', 'up0')
  await tunnelTo(stranger, '192.0.2.3')
  await first.run('ip', 'neigh', 'flush', 'dev', 'up0')
  // So it was pak that kept it out.
  await eventually('in with the address of a peer', () => pings(stranger, '10.61.0.3'))
  await stranger.run('ip', 'link', 'del', 'up0')
  // The third is to be found again by its own MAC, sooner than the kernel doubts the stranger's.
  await first.run('ip', 'neigh', 'flush', 'dev', 'up0')
  await comesToKnow(one)
}

async function tunnelTo(stranger: Machine, local: string): Promise<void> {
  await stranger.run('sh', '-c', 'ip link del vx0 2>/dev/null || true')
  const device = ['type', 'vxlan', 'id', '77', 'dstport', '4789', 'local', local]
  await stranger.run('ip', 'link', 'add', 'vx0', ...device, 'remote', '192.0.2.1')
  await stranger.run('ip', 'addr', 'add', '10.61.128.99/16', 'dev', 'vx0')
  await stranger.run('ip', 'link', 'set', 'vx0', 'up')
}

/** The third machine is lost: its names fail soon, those of the others are as quick as ever. */
async function comesToKnow(one: PakSandbox): Promise<void> {
  const before = Date.now()
  assert.equal(await named(one, 'at-three'), [])
  assert.ok(Date.now() - before < 10_000, 'a lost peer keeps askers waiting')
  assert.equal(await named(one, 'at-two'), ['10.61.64.2'])
  assert.equal(await named(one, 'near'), ['10.61.0.3', '10.61.64.3'])
}

async function comesBack(
  machines: Fleet,
  [one, two]: readonly [PakSandbox, PakSandbox],
): Promise<void> {
  await machines.plug(2, 'up')
  const back = async (pak: PakSandbox) => {
    const [address] = await named(pak, 'at-three')
    return address === '10.61.128.2' && (await reaches(pak, address))
  }
  await Promise.all([one, two].map((pak) => eventually('the third is back', () => back(pak))))
}

async function undone(
  machines: Fleet,
  [one, two]: readonly [PakSandbox, PakSandbox],
): Promise<void> {
  const [first] = machines.machines
  assert.ok(first)
  const [, device = ''] =
    /^\d+: (\w+):/.exec(await first.run('ip', '-o', 'link', 'show', 'type', 'vxlan')) ?? []
  const ways = async () => await first.run('bridge', 'fdb', 'show', 'dev', device)
  const neighbours = async () => await first.run('ip', 'neigh', 'show', 'nud', 'permanent')
  for (const [damage, whole] of [
    [
      ['bridge', 'fdb', 'del', '00:00:00:00:00:00', 'dev', device, 'dst', '192.0.2.2'],
      async () => /00:00:00:00:00:00 dst 192.0.2.2/.test(await ways()),
    ],
    [
      ['ip', 'link', 'del', device],
      async () => /00:00:00:00:00:00 dst 192.0.2.2/.test(await ways().catch(() => '')),
    ],
    [
      ['sh', '-c', 'ip neigh flush nud permanent to 10.61.64.1'],
      async () => /10.61.64.1 /.test(await neighbours()),
    ],
  ] as const) {
    const [file, ...args] = damage
    await first.run(file, ...args)
    await eventually(`${damage.join(' ')} undone`, whole)
  }
  await eventually('it carries again', () => reaches(two, '10.61.0.2'))
  await eventually('names again', async () => (await named(one, 'at-two')).length === 1)
  const events = await one.ok(['events', '--since', '10m'])
  assert.match(events, `vxlan ${device} lost its way to 192.0.2.2`)
  assert.match(events, `vxlan ${device} is gone`)
  assert.match(events, 'lost its neighbour 10.61.64.1')
  assert.equal((await one.json<{ steps: unknown[] }>(['plan'])).steps, [])
}

/** A peer that is taken from the list is forgotten, with everything running on. */
async function shrinks(machines: Fleet, one: PakSandbox): Promise<void> {
  const before = await pids(one)
  await one.write(
    'pak.yaml',
    manifest(['one', 'two']).replace('hosts: [two, three]', 'hosts: [two]'),
  )
  await one.ok(['up', '-d'])
  assert.equal(await pids(one), before)
  const [first] = machines.machines
  const rules = (await first?.run('nft', 'list', 'ruleset')) ?? ''
  assert.match(rules, '192.0.2.2 . 4789')
  assert.not.match(rules, '192.0.2.3')
  assert.not.match(
    (await first?.run('bridge', 'fdb', 'show')) ?? '',
    /00:00:00:00:00:00.*192.0.2.3/,
  )
  assert.not.match((await first?.run('ip', 'neigh')) ?? '', '10.61.128.1 ')
}

const addressesOf = (rows: Awaited<ReturnType<typeof containers>>) =>
  Object.fromEntries(
    Object.values(rows).map(({ container, networks }) => [container, networks['mesh']?.ip]),
  )

const PING = ['busybox', 'ping', '-c1', '-W1']

/** The first process of the container that is on every machine. */
const nearOf = new WeakMap<PakSandbox, Promise<number>>()
function near(pak: PakSandbox): Promise<number> {
  const known = nearOf.get(pak) ?? pids(pak).then((all) => all['pakto-near-1'] ?? 0)
  nearOf.set(pak, known)
  return known
}

const tell = async (pak: PakSandbox, ...command: readonly string[]): Promise<string> =>
  tellIn(await near(pak), ...command)

const reaches = async (pak: PakSandbox, address: string): Promise<boolean> =>
  (await tell(pak, ...PING, address)).includes(' 0% packet loss')

const pings = async (machine: Machine, address: string): Promise<boolean> =>
  (await machine.run('sh', '-c', `${PING.join(' ')} ${address} || true`)).includes(
    ' 0% packet loss',
  )

/** Addresses of a name, as the same container sees them. */
async function named(pak: PakSandbox, name: string): Promise<readonly string[]> {
  const text = await tell(pak, 'getent', 'ahostsv4', name)
  return [...new Set(text.split('\n').flatMap((line) => line.split(/\s+/)[0] || []))].sort()
}

/** What answers at port 80; empty: nobody. */
const ask = async (pak: PakSandbox, address: string | undefined): Promise<string> =>
  tell(pak, process.execPath, '-e', ASKS, address ?? '')
const ASKS = `setTimeout(() => process.exit(), 700)
require('net').connect(80, process.argv[1]).on('data', (d) => process.stdout.write(d)).on('error', () => process.exit()).on('close', () => process.exit())`

test.run()
