// not in the emulated machine: it starts Node dozens of times; network/lan.kernel has the kinds that only its kernel knows
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import { hasKind } from '../../src/network/lan.ts'
import type { Machine } from '../network/lab.ts'
import { busyboxRootfs } from '../support/busybox.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { type Fleet, fleet } from './machines.ts'
import { containers, lacking, type PlanJson, SERVES } from './stage.ts'

const KINDS = ['macvlan', 'ipvlan', 'vlan', 'dummy']
const known = await Promise.all(KINDS.map((kind) => hasKind(hostKernel, kind)))
const without = KINDS.filter((_, index) => !known[index])
const lacksKinds = without.length === 0 ? null : `this kernel has no links of kind ${without}`
const lacksMacvlan = without.includes('macvlan') ? 'this kernel has no macvlan' : null

const service = (name: string, keys: string): string => `  ${name}:\n    ${SERVES}\n    ${keys}\n`

const manifest = (services: Readonly<Record<string, string>>, networks: string): string =>
  `name: pakto\ncontainers:\n${Object.entries(services)
    .map(([name, keys]) => service(name, keys))
    .join('')}networks:\n${networks}`

/** A machine with pak and `up0`, and a bare one on the same cable: the LAN. */
async function lan(): Promise<
  AsyncDisposable & {
    readonly machines: Fleet
    readonly pak: PakSandbox
    readonly host: Machine
    readonly router: Machine
  }
> {
  const machines = await fleet(2, 1)
  const [pak] = machines.sandboxes
  const [host, router] = machines.machines
  assert.ok(pak !== undefined && host !== undefined && router !== undefined)
  await busyboxRootfs(join(pak.folder, 'rootfs'))
  return {
    machines,
    pak,
    host,
    router,
    [Symbol.asyncDispose]: () => machines[Symbol.asyncDispose](),
  }
}

testUnless(
  test,
  lacking ?? lacksKinds,
  'a VLAN, an ipvlan and a LAN that leads nowhere: made, mended and taken away with their networks',
  async () => {
    await using at = await lan()
    const { pak, host, router } = at
    for (const line of [
      'link add link up0 name v20 type vlan id 20',
      'link set v20 up',
      'addr add 10.20.0.1/24 dev v20',
    ])
      await router.run('ip', ...line.split(' '))
    const before = await host.run('ip', '-o', 'link')
    await pak.write(
      'pak.yaml',
      manifest(
        {
          tagged: 'networks: [v]',
          plain: 'networks: [l]',
          one: 'networks: [n]',
          two: 'networks: [n]',
        },
        `  v: { driver: macvlan, driver_opts: { parent: up0.20 }, subnet: 10.20.0.0/24 }
  l: { driver: ipvlan, driver_opts: { parent: up0 }, subnet: 192.0.2.0/24, gateway: 192.0.2.2, ipam: { config: [{ subnet: 192.0.2.0/24, ip_range: 192.0.2.64/26 }] } }
  n: { driver: macvlan }
`,
      ),
    )
    await pak.ok(['up', '-d'])
    const all = async () => {
      await reached(router, 'pakto-tagged-1', { ip: '10.20.0.2' })
      await reached(router, 'pakto-plain-1', { ip: '192.0.2.64' })
      await eventually(
        'two from one',
        async () => (await fetched(pak, 'one', 'two')) === 'pakto-two-1',
      )
      assert.equal(await steps(pak), [])
    }
    await all()
    assert.match(await host.run('ip', '-d', 'link', 'show', 'up0.20'), 'vlan protocol 802.1Q id 20')
    const rows = await containers(pak)
    const route = await host.run(
      'nsenter',
      '--net',
      '-t',
      `${rows['pakto-one-1']?.pid}`,
      'ip',
      'route',
    )
    assert.not.match(route, 'default')
    const facts = JSON.parse(await pak.ok(['network', 'inspect', 'n'])) as { bridge: string }[]
    for (const link of ['up0.20', facts[0]?.bridge ?? '']) {
      await host.run('ip', 'link', 'del', link)
      await all()
    }
    await pak.ok(['down'])
    assert.is(await host.run('ip', '-o', 'link'), before)
  },
)

testUnless(test, lacking ?? lacksKinds, 'an ipvlan of mode l3 is routed by this host', async () => {
  await using at = await lan()
  const { pak, host, router } = at
  await router.run('ip', 'route', 'add', '10.30.0.0/24', 'via', '192.0.2.1')
  await pak.write(
    'pak.yaml',
    manifest(
      { web: 'networks: [r]', db: 'networks: [r]' },
      '  r: { driver: ipvlan, driver_opts: { parent: up0, ipvlan_mode: l3 }, subnet: 10.30.0.0/24 }\n',
    ),
  )
  await pak.ok(['up', '-d'])
  const { 'pakto-web-1': web } = await containers(pak)
  await reached(router, 'pakto-web-1', { ip: web?.networks['r']?.ip })
  assert.is(await fetched(pak, 'web', 'db'), 'pakto-db-1')
  await host.run('nsenter', '--net', '-t', `${web?.pid}`, 'ip', 'route', 'del', 'default')
  await reached(router, 'pakto-web-1', { ip: web?.networks['r']?.ip })
  assert.equal(await steps(pak), [])
  await pak.ok(['down'])
})

testUnless(
  test,
  lacking ?? lacksMacvlan,
  'a container on a bridge and a macvlan publishes ports by the one; taken off the other by hand, and put back',
  async () => {
    await using at = await lan()
    const { pak, host, router } = at
    await pak.write(
      'pak.yaml',
      manifest(
        {
          web: 'networks: [back, lan]\n    ports: ["8080:80"]\n    healthcheck: { tcp: 80, interval: 1s }',
          only: 'networks: [lan]\n    healthcheck: { tcp: 80, interval: 1s }',
        },
        `  back: { subnet: 10.88.0.0/24 }
  lan:
    driver: macvlan
    driver_opts: { parent: up0, mtu: 1400 }
    enable_ipv6: true
    ipam: { config: [{ subnet: 192.0.2.0/24, gateway: 192.0.2.2, ip_range: 192.0.2.64/26 }, { subnet: "2001:db8::/64" }] }
`,
      ),
    )
    await pak.ok(['up', '-d', '--wait'])
    await reached(router, 'pakto-web-1', { ip: '192.0.2.1', port: '8080' })
    const { 'pakto-web-1': web, 'pakto-only-1': only } = await containers(pak)
    const address = web?.networks['lan']
    await reached(router, 'pakto-web-1', { ip: address?.ip })
    await router.run('ip', 'addr', 'add', '2001:db8::fe/64', 'dev', 'up0', 'nodad')
    await reached(router, 'pakto-web-1', { ip: address?.ip6 })
    const inside = (...words: readonly string[]) =>
      host.run('nsenter', '--net', '-t', `${web?.pid}`, ...words)
    assert.match(await inside('ip', 'route'), 'default via 10.88.0.1 dev eth0')
    assert.match(await inside('ip', 'link', 'show', 'eth1'), 'mtu 1400')
    assert.is(await fetched(pak, 'only', 'web'), 'pakto-web-1')
    assert.equal(await steps(pak), [])

    await pak.ok(['network', 'disconnect', 'lan', 'pakto-web-1'])
    assert.not.match(await inside('ip', '-o', 'link'), 'eth1')
    await pak.ok(['network', 'connect', 'lan', 'pakto-web-1'])
    await reached(router, 'pakto-web-1', { ip: address?.ip })
    // Without the bridge its name server is out of reach, and another one is opened within.
    await pak.ok(['network', 'disconnect', 'back', 'pakto-web-1'])
    assert.is(await fetched(pak, 'web', 'only'), 'pakto-only-1')
    await pak.ok(['kill', 'only'])
    await pak.ok(['up', '-d', '--wait'])
    await reached(router, 'pakto-only-1', { ip: only?.networks['lan']?.ip })
    await pak.ok(['down'])
  },
)

testUnless(
  test,
  lacking ?? lacksMacvlan,
  'a parent that is not there, or shared in a way that cannot be, is refused before anything is done',
  async () => {
    await using at = await lan()
    const { pak, host } = at
    const refused = async (networks: string, what: RegExp) => {
      await pak.write('pak.yaml', manifest({ web: 'networks: [lan]' }, networks))
      const { exitCode, stderr } = await pak.run(['up', '-d'])
      assert.is(exitCode, 1)
      assert.match(stderr, what)
      assert.equal(await containers(pak), {})
    }
    const lanOf = (options: string) =>
      `  lan: { driver: macvlan, subnet: 192.0.2.0/24, driver_opts: { ${options} } }\n`
    await refused(lanOf('parent: up7'), /network `lan`: this machine has no link `up7`/)
    await refused(
      lanOf('parent: up7.20'),
      /network `lan`: this machine has no link `up7`|no links of kind vlan/,
    )
    await host.run('ip', 'link', 'add', 'down0', 'type', 'bridge')
    await refused(lanOf('parent: down0'), /network `lan`: link `down0` is down/)
    await host.run('ip', 'link', 'del', 'down0')
    await pak.ok([
      'network',
      'create',
      '-d',
      'macvlan',
      '-o',
      'parent=up0',
      '--subnet',
      '192.0.2.0/24',
      '--ip-range',
      '192.0.2.64/26',
      'edge',
    ])
    await refused(lanOf('parent: up0'), /network `edge` gives out 192\.0\.2\.64\/26 on up0, too/)
    await refused(
      lanOf('parent: up0, macvlan_mode: passthru'),
      /network `edge` has up0, and `passthru` takes all of it/,
    )
    const joined = (keys: string) =>
      pak.write(
        'pak.yaml',
        manifest({ web: `networks: [edge]\n    ${keys}` }, '  edge: { external: true }\n'),
      )
    await joined('ports: ["8080:80"]')
    const { stderr } = await pak.run(['up', '-d'])
    assert.match(
      stderr,
      'service `web`: network `edge` is a macvlan: its containers have no port here',
    )
    await joined('init: false')
    await pak.ok(['up', '-d'])
    const { 'pakto-web-1': web } = await containers(pak)
    await reached(at.router, 'pakto-web-1', { ip: web?.networks['edge']?.ip })
    await pak.ok(['down'])
    await pak.ok(['network', 'rm', 'edge'])
  },
)

const steps = async (pak: PakSandbox): Promise<readonly string[]> => {
  const plan = await pak.json<PlanJson>(['plan'])
  return plan.steps.map(({ id, because }) => `${id} ${because.kind}`)
}

const GET = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 $0 $1 2>/dev/null | tail -n 1"

const reached = (
  from: Machine,
  name: string,
  { ip, port = '80' }: { readonly ip: string | null | undefined; readonly port?: string },
): Promise<unknown> =>
  eventually(`${name} at ${ip} ${port}`, async () => {
    return (await from.run('sh', '-c', GET, ip ?? '', port)) === name
  })

const fetched = async (pak: PakSandbox, from: string, host: string): Promise<string> => {
  const script = GET.replace('busybox nc', 'nc')
  return (await pak.run(['exec', '-T', from, 'sh', '-c', script, host, '80'])).stdout.trim()
}

test.run()
