// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts dozens of programs
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Machine } from '../network/lab.ts'
import { busyboxRootfs } from '../support/busybox.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { type Fleet, fleet, tellIn } from './machines.ts'
import { containers, lacking, type PlanJson, pids, SERVES, SLEEPS } from './stage.ts'

const noPlugins = lacking ?? hostLacks('iptables', '/usr/lib/cni/bridge')
const LEASES = '/var/lib/cni/networks'
const leases = async (): Promise<readonly string[]> =>
  (await readdir(LEASES).catch(() => [])).filter((name) => name.startsWith('pak-')).sort()

const CONFLIST = {
  cniVersion: '1.0.0',
  plugins: [
    {
      type: 'bridge',
      bridge: 'pcni0',
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      capabilities: { ips: true, mac: true },
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.88.0.0/16' }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    { type: 'firewall', backend: 'iptables' },
    { type: 'bandwidth', capabilities: { bandwidth: true } },
  ],
}

const MANIFEST = `name: paktcni
containers:
  web:
    ${SERVES}
    ports: ["18080:80"]
    bandwidth: { ingress: 100mbit, egress: 50mbit }
    networks: [back]
  db:
    ${SLEEPS}
    networks:
      back: { aliases: [store], ipv4_address: 10.88.0.77, mac_address: "02:42:0a:58:00:4d" }
networks:
  back: { driver: cni, cni: ./back.conflist }
`

testUnless(
  test,
  noPlugins,
  "Debian's plugins: addresses, names, ports, rates; damage undone; nothing left",
  async () => {
    const before = await leases()
    await using machines = await fleet(1)
    const [pak, host] = await staged(machines)
    await pak.write('back.conflist', JSON.stringify(CONFLIST))
    await pak.write('pak.yaml', MANIFEST)
    await pak.ok(['up', '-d'])
    assert.equal((await pak.json<PlanJson>(['plan'])).steps, [])
    await reachesByAddressAndName(pak)
    await publishes(machines, host)
    await toldPlugins(pak, host)
    await undoesDamage(pak, host)
    await replacesForReason(pak)
    await survivesItsAgent(pak)
    await pak.ok(['down'])
    await leavesNothing(host)
    assert.equal(await leases(), before)
  },
)

async function staged({ sandboxes, machines }: Fleet): Promise<readonly [PakSandbox, Machine]> {
  const [[pak], [host]] = [sandboxes, machines]
  assert.ok(pak !== undefined && host !== undefined)
  await busyboxRootfs(join(pak.folder, 'rootfs'))
  return [pak, host]
}

/** A command of busybox in the first container of a service. */
async function within(pak: PakSandbox, service: string) {
  const pid = (await pids(pak))[`paktcni-${service}-1`] ?? 0
  return (...command: readonly string[]) => tellIn(pid, 'busybox', ...command)
}

async function reachesByAddressAndName(pak: PakSandbox): Promise<void> {
  const rows = await containers(pak)
  const [inDb, inWeb] = [await within(pak, 'db'), await within(pak, 'web')]
  const web = rows['paktcni-web-1']?.networks['back']?.ip ?? ''
  assert.match(web, /^10\.88\.0\.\d+$/)
  assert.is(rows['paktcni-db-1']?.networks['back']?.ip, '10.88.0.77')
  for (const name of [web, 'web', 'paktcni-web-1'])
    await eventually(
      name,
      async () => (await inDb('wget', '-qO-', `http://${name}/`)) === 'paktcni-web-1\n',
    )
  assert.match(await inWeb('nslookup', 'store'), '10.88.0.77')
  assert.match(await inDb('cat', '/etc/hosts'), /^10\.88\.0\.77\tpaktcni-db-1$/m)
  assert.match(await inDb('cat', '/etc/resolv.conf'), 'nameserver 10.88.0.1\n')
}

/** From this host, and from another one. */
async function publishes({ exchange }: Fleet, host: Machine): Promise<void> {
  const ask = (from: Machine, address: string) =>
    from.run('busybox', 'wget', '-qO-', `http://${address}:18080/`)
  assert.is(await ask(host, '127.0.0.1'), 'paktcni-web-1')
  await exchange.run('ip', 'addr', 'add', '192.0.2.99/24', 'dev', 'net0')
  assert.is(await ask(exchange, '192.0.2.1'), 'paktcni-web-1')
}

async function toldPlugins(pak: PakSandbox, host: Machine): Promise<void> {
  const inDb = await within(pak, 'db')
  assert.match(await host.run('tc', 'qdisc', 'show'), /tbf .*rate 100Mbit/)
  assert.match(await host.run('tc', 'qdisc', 'show'), /tbf .*rate 50Mbit/)
  assert.match(await inDb('ip', 'link', 'show', 'eth0'), '02:42:0a:58:00:4d')
  const mode = await host.run('find', pak.root, '-name', 'paktcni-db-1.json', '-perm', '600')
  assert.match(mode, 'paktcni-db-1.json')
}

/** With the plugin's words as the reason, the same processes, and the address that the file says. */
async function undoesDamage(pak: PakSandbox, host: Machine): Promise<void> {
  const before = await pids(pak)
  const inDb = await within(pak, 'db')
  const [, index = ''] = /eth0@if(\d+)/.exec(await inDb('ip', 'link', 'show', 'eth0')) ?? []
  // What was found first is what counts as whole.
  assert.equal((await pak.json<PlanJson>(['plan'])).steps, [])
  const links = await host.run('ip', '-o', 'link')
  const [, device = ''] = new RegExp(`^${index}: ([^@]+)@`, 'm').exec(links) ?? []
  await host.run('ip', 'link', 'del', device)
  await eventually('the interface is back', async () =>
    (await inDb('ip', 'addr', 'show', 'eth0')).includes('10.88.0.77/16'),
  )
  assert.equal(await pids(pak), before)
  await eventually('names again', async () =>
    (await inDb('wget', '-qO-', 'http://web/')).includes('paktcni-web-1'),
  )
  const events = await pak.ok(['events', '--since', '10m'])
  assert.match(
    events,
    /container.repaired service\/db\/1 \(drift: network back: cni plugin `bridge`, CHECK: /,
  )
}

/** Another conflist is another network: the reason names what differs. */
async function replacesForReason(pak: PakSandbox): Promise<void> {
  const changed = structuredClone(CONFLIST)
  for (const plugin of changed.plugins) if ('ipMasq' in plugin) plugin.ipMasq = false
  await pak.write('back.conflist', JSON.stringify(changed))
  const { steps } = await pak.json<PlanJson>(['plan'])
  const reasons = steps.map(({ op, because }) => [op, because.fields?.map(({ path }) => path)])
  const field = ['networks.back.cni.plugins[0].ipMasq']
  for (const op of ['network.create', 'network.remove', 'container.remove'])
    assert.ok(
      reasons.some((each) => JSON.stringify(each) === JSON.stringify([op, field])),
      op,
    )
  await pak.ok(['up', '-d'])
  assert.equal((await pak.json<PlanJson>(['plan'])).steps, [])
  await reachesByAddressAndName(pak)
}

/** What a killed agent knew is on disk: the next one undoes it. */
async function survivesItsAgent(pak: PakSandbox): Promise<void> {
  const { pid } = await pak.json<{ pid: number }>(['agent', 'status'])
  process.kill(pid, 'SIGKILL')
  assert.equal((await pak.json<PlanJson>(['plan'])).steps, [])
}

/** Chains that plugins share among all networks are theirs; nothing in them is of this one. */
async function leavesNothing(host: Machine): Promise<void> {
  const rules = await host.run('iptables-save')
  assert.not.match(rules, /10\.88\.|pak-|18080|paktcni/)
  assert.not.match(await host.run('ip', '-o', 'link'), /pcni0|veth|bwp/)
  assert.not.match(await host.run('nft', 'list', 'ruleset'), /table inet pak/)
}

test.run()
