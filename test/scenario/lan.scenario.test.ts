// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import { hasKind } from '../../src/network/lan.ts'
import type { Machine } from '../network/lab.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { fleet, tellIn } from './machines.ts'
import { containers, lacking, type PlanJson, pids } from './stage.ts'

const lacksMacvlan = (await hasKind(hostKernel, 'macvlan')) ? null : 'this kernel has no macvlan'

/** Answers each connection with its host's name and the address of whoever asks. */
const SERVES = `require('net').createServer((s) => s.on('error', () => {}).end(require('os').hostname() + ' ' + s.remoteAddress.replace('::ffff:', ''))).listen(80)`
const NODE = JSON.stringify([process.execPath, '-e', SERVES])

/** What answers every question for an address with 203.0.113.9. */
const NAMES = `
const s = require('dgram').createSocket('udp4').bind(53, () => console.log('ready'))
s.on('message', (q, from) => {
  const end = q.indexOf(0, 12) + 5
  const found = q.readUInt16BE(end - 4) === 1
  const head = Buffer.from([q[0], q[1], 0x81, 0x80, 0, 1, 0, found ? 1 : 0, 0, 0, 0, 0])
  const data = found ? [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 203, 0, 113, 9] : []
  s.send(Buffer.concat([head, q.subarray(12, end), Buffer.from(data)]), from.port, from.address)
})`

const manifest = (more = ''): string => `name: pakto
containers:
  web:
    rootfs: /
    stop_signal: SIGKILL
    command: ${NODE}
    networks: { lan: { ipv4_address: 192.0.2.77 } }
    dns: [192.0.2.2]
  db:
    rootfs: /
    stop_signal: SIGKILL
    command: ${NODE}
    replicas: 2
    networks: [lan]
networks:
  lan:
    driver: macvlan
    driver_opts: { parent: up0 }
    ipam: { config: [{ subnet: 192.0.2.0/24, gateway: 192.0.2.2, ip_range: 192.0.2.64/26, aux_addresses: { printer: 192.0.2.65 } }] }
${more}`

testUnless(
  test,
  lacking ?? lacksMacvlan,
  'containers on a macvlan: by address from the LAN, out by its router, by name; damage undone, nothing left',
  async () => {
    await using machines = await fleet(2, 1)
    const [pak] = machines.sandboxes
    const [host, router] = machines.machines
    assert.ok(pak !== undefined && host !== undefined && router !== undefined)
    await router.run('ip', 'addr', 'add', '198.51.100.1/32', 'dev', 'lo')
    await router.serve('router', 80)
    await serveNames(router)
    const before = await host.run('ip', '-o', 'link')
    await pak.write('pak.yaml', manifest())
    await pak.ok(['up', '-d'])
    await inPlace(pak, router)
    assert.equal(await steps(pak), [])
    await repaired(pak, router)
    await restarted(pak, router)
    await agentLost(pak)
    await pak.ok(['down'])
    assert.is(await host.run('ip', '-o', 'link'), before)
    assert.is(await router.ask('192.0.2.77', 80), '')
  },
)

const serveNames = (machine: Machine) => {
  const child = machine.start(process.execPath, '-e', NAMES)
  return new Promise((resolve) => child.stdout?.once('data', resolve))
}

const steps = async (pak: PakSandbox): Promise<readonly string[]> => {
  const plan = await pak.json<PlanJson>(['plan'])
  return plan.steps.map(({ id, because }) => `${id} ${because.kind}`)
}

async function inPlace(pak: PakSandbox, router: Machine): Promise<void> {
  const rows = await containers(pak)
  assert.equal(
    ['pakto-db-1', 'pakto-db-2', 'pakto-web-1'].map((name) => rows[name]?.networks['lan']?.ip),
    ['192.0.2.64', '192.0.2.66', '192.0.2.77'],
  )
  await eventually('web from the LAN', async () =>
    (await router.ask('192.0.2.77', 80)).startsWith('pakto-web-1 192.0.2.2'),
  )
  const { 'pakto-web-1': web = 0, 'pakto-db-1': db = 0 } = await pids(pak)
  // By the LAN's router, with its own address.
  assert.is(await asked(web, '198.51.100.1'), 'router 192.0.2.77')
  assert.is(await asked(web, '192.0.2.64'), 'pakto-db-1 192.0.2.77')
  assert.equal(await named(web, 'db'), ['192.0.2.64', '192.0.2.66'])
  assert.equal(await named(db, 'pakto-web-1'), ['192.0.2.77'])
  assert.equal(await named(web, 'printer.example'), ['203.0.113.9'])
  assert.match(await tellIn(db, 'cat', '/etc/resolv.conf'), /^nameserver 127\.0\.0\.11$/m)
}

async function repaired(pak: PakSandbox, router: Machine): Promise<void> {
  const { 'pakto-web-1': web = 0 } = await pids(pak)
  for (const [damage, what] of [
    ['link del dev eth0', 'macvlan'],
    ['addr flush dev eth0', 'address'],
    ['route del default', 'route'],
  ] as const) {
    await hostKernel.run('nsenter', ['--net', '-t', `${web}`, 'ip', ...damage.split(' ')])
    await eventually(`${what} back`, async () => {
      return (await asked(web, '198.51.100.1')) === 'router 192.0.2.77'
    })
  }
  assert.is((await pids(pak))['pakto-web-1'], web)
  assert.match(await router.ask('192.0.2.77', 80), 'pakto-web-1')
}

/** Its address is free for the next run at once, even while a socket holds the namespace of the last one. */
async function restarted(pak: PakSandbox, router: Machine): Promise<void> {
  const { 'pakto-web-1': before = 0 } = await pids(pak)
  const holder = router.start('nsenter', '--net', '-t', `${before}`, 'sleep', '600')
  await pak.ok(['restart', 'web'])
  const { 'pakto-web-1': web = 0 } = await pids(pak)
  assert.not.equal(web, before)
  await eventually('web again', async () =>
    (await router.ask('192.0.2.77', 80)).startsWith('pakto-web-1'),
  )
  assert.equal(await named(web, 'db'), ['192.0.2.64', '192.0.2.66'])
  holder.kill('SIGKILL')
}

/** The next agent opens its name servers anew. */
async function agentLost(pak: PakSandbox): Promise<void> {
  const status = await pak.json<{ readonly pid: number }>(['agent', 'status'])
  process.kill(status.pid, 'SIGKILL')
  const { 'pakto-web-1': web = 0 } = await pids(pak)
  await eventually('names again', async () => (await named(web, 'pakto-db-1')).length === 1)
  assert.equal(await steps(pak), [])
}

const asked = async (pid: number, address: string): Promise<string> => {
  const script = `require('net').connect(80, '${address}').on('data', (d) => process.stdout.write(d)).on('error', () => process.exit()).on('close', () => process.exit()); setTimeout(() => process.exit(), 3000)`
  return (await tellIn(pid, process.execPath, '-e', script)).trim()
}

const named = async (pid: number, name: string): Promise<readonly string[]> => {
  const text = await tellIn(pid, 'getent', 'ahostsv4', name)
  return [...new Set(text.match(/^\S+(?=\s+STREAM)/gm) ?? [])].sort()
}

test.run()
