import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestText } from '../../src/manifest/config.ts'
import { folderWith, load, problemsOf } from './support.ts'

const BRIDGE = { type: 'bridge', bridge: 'cni0', ipam: { type: 'host-local' } }
const PORTMAP = { type: 'portmap', capabilities: { portMappings: true, bandwidth: false } }
const file = (cni: string, service = '') =>
  `containers: { web: { image: a, networks: [back]${service} } }\nnetworks: { back: { driver: cni, cni: ${cni} } }`
const inline = (...plugins: readonly object[]) =>
  JSON.stringify({ cniVersion: '1.0.0', plugins: plugins.length === 0 ? [BRIDGE] : plugins })

test('a configuration in place, in a file and by its name is the same network', async () => {
  const whole = { cniVersion: '1.0.0', name: 'mynet', plugins: [BRIDGE, PORTMAP] }
  const text = JSON.stringify(whole)
  const { desired, normalized } = await load(file(text))
  const [network] = desired.networks
  assert.is(network?.driver, 'cni')
  const { type: _, ...config } = BRIDGE
  assert.equal(network?.cni, {
    version: '1.0.0',
    name: 'mynet',
    plugins: [
      { type: 'bridge', capabilities: [], config },
      { type: 'portmap', capabilities: ['portMappings'], config: {} },
    ],
    path: [],
  })
  assert.equal((await load(manifestText(normalized()))).desired, desired)
  const beside = { 'net.conflist': text }
  assert.equal((await load(file('./net.conflist'), { beside })).desired, desired)
  await using folder = await folderWith({ '20-b.conflist': text, '10-bad.conf': '{', 'x.txt': '{' })
  const environment = { NETCONFPATH: folder.path }
  assert.equal((await load(file('mynet'), { environment })).desired, desired)
  const [missing = ''] = await problemsOf(file('other'), { environment })
  assert.match(
    missing,
    /no file in .* describes network other; .*10-bad.conf is not JSON; there are mynet/,
  )
})

test('a single plugin is a chain of one; the newest version that both speak counts', async () => {
  const alone = JSON.stringify({ cniVersion: '0.4.0', name: 'one', type: 'ptp', mtu: 1400 })
  const [network] = (await load(file('./one.conf'), { beside: { 'one.conf': alone } })).desired
    .networks
  assert.equal(network?.cni?.plugins, [{ type: 'ptp', capabilities: [], config: { mtu: 1400 } }])
  const several = { cniVersion: '0.4.0', cniVersions: ['1.0.0', '9.0.0'], plugins: [BRIDGE] }
  const [other] = (await load(file(JSON.stringify(several)))).desired.networks
  assert.is(other?.cni?.version, '1.0.0')
})

test('names of programs are names, and what only a runtime says is refused', async () => {
  for (const [cni, words] of [
    [inline({ type: '../../bin/sh' }), "expected the name of a plugin's program, got ../../bin/sh"],
    [inline({ type: 'a..b' }), "expected the name of a plugin's program"],
    [inline({ ...BRIDGE, ipam: { type: '/bin/sh' } }), 'ipam.type: expected the name'],
    [inline({ type: 'bridge', prevResult: {} }), 'prevResult, which only a runtime says'],
    ['{ cniVersion: 0.2.0, plugins: [{ type: bridge }] }', 'expected `cniVersion` 1.1.0, 1.0.0'],
    ['{ plugins: [{ type: bridge }] }', 'it has no `cniVersion`'],
    ['{ cniVersion: 1.0.0, plugins: [] }', 'a list of 1 to 32'],
    ['{ cniVersion: 1.0.0, name: ../x, plugins: [{ type: bridge }] }', 'expected a `name`'],
    ['./absent.conflist', 'there is no file'],
    ['./fifo/..', 'is no file'],
  ] as const) {
    const problems = (await problemsOf(file(cni))).join('\n')
    assert.match(problems, words)
    assert.match(problems, 'networks.back.cni')
  }
  const deep = `${'['.repeat(40)}${']'.repeat(40)}`
  const beside = { 'deep.conf': `{"cniVersion":"1.0.0","type":"x","a":${deep}}` }
  assert.match((await problemsOf(file('./deep.conf'), { beside })).join(), 'nested deeper than 32')
  assert.match(
    (await problemsOf(file(inline()), { environment: { CNI_PATH: 'plugins' } })).join(),
    'CNI_PATH has plugins, which is no absolute folder',
  )
})

test('what plugins cannot be told is refused where it is written', async () => {
  const say = async (service: string, ...plugins: readonly object[]) =>
    (await problemsOf(file(inline(...plugins), service))).join('\n')
  const lacks = (capability: string) =>
    new RegExp(`none of its plugins \\(bridge\\) declares the capability \`${capability}\``)
  assert.match(await say(', ports: ["80:80"]'), lacks('portMappings'))
  assert.match(await say(', bandwidth: { ingress: 1mbit }'), lacks('bandwidth'))
  const fixed = (key: string, value: string) =>
    problemsOf(file(inline()).replace('[back]', `{ back: { ${key}: "${value}" } }`))
  assert.match((await fixed('ipv4_address', '10.1.2.3')).join(), lacks('ips'))
  assert.match((await fixed('mac_address', '02:00:00:00:00:01')).join(), lacks('mac'))
  assert.match((await fixed('gw_priority', '1')).join(), 'routes of a `cni` network')
  assert.match(await say(', ports: ["80:80"], replicas: 2', BRIDGE, PORTMAP), 'not to 2 replicas')
  assert.match(await say(', endpoint_mode: vip'), 'a service has none of its own')
  assert.match(await say(', policies: { ingress: {} }'), 'policies do not reach')
  await load(file(inline(BRIDGE, PORTMAP), ', ports: ["80:80"]'))
})

test('what only pak decides does not go with plugins, nor the other way round', async () => {
  const text = `containers: { web: { image: a, networks: [back] } }\nnetworks: { back: { driver: cni, cni: ${inline()}, subnet: 10.1.0.0/16, internal: true } }`
  const problems = (await problemsOf(text)).join('\n')
  assert.match(problems, '`subnet` does not go with `driver: cni`')
  assert.match(problems, '`internal` does not go with `driver: cni`')
  assert.match(
    (await problemsOf(file(inline()).replace('driver: cni, ', ''))).join(),
    'driver: cni',
  )
  assert.match(
    (await problemsOf(file('x').replace(', cni: x', ''))).join(),
    'a `cni` network needs `cni`',
  )
})

test.run()
