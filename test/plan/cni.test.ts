import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { CniNetwork } from '../../src/model/cni.ts'
import { brief, desired, network, port, service, text, world } from './build.ts'

const cni = (over: Partial<CniNetwork> = {}, mtu = 1500): CniNetwork => ({
  version: '1.0.0',
  name: null,
  plugins: [
    { type: 'bridge', capabilities: [], config: { mtu } },
    { type: 'portmap', capabilities: ['portMappings'], config: {} },
  ],
  path: [],
  ...over,
})
const back = (of: CniNetwork) => network('back', { driver: 'cni', cni: of })
const on = (...networks: readonly string[]) => ({
  networks: networks.map((name) => ({ network: name, aliases: [], ipv4: null })),
})
const web = (of: CniNetwork, replicas = 1, ...more: readonly string[]) =>
  desired([service('web', { ...on('back', ...more), ports: port(80) }, { replicas })], {
    networks: [back(of), ...more.map((name) => network(name))],
  })

test('another configuration is another network, and the reason names what differs', async () => {
  const { planOf, up } = world()
  await up(web(cni()))
  assert.is(brief(await planOf(web(cni()))), '')
  const reason =
    /network\.remove:network\/back \(networks\.back\.cni\.plugins\[0\]\.mtu: 1500 -> 1400\)/
  assert.match(text(await planOf(web(cni({}, 1400)))), reason)
  const other = cni({ plugins: [{ type: 'ptp', capabilities: [], config: {} }] })
  assert.match(
    text(await planOf(web(other))),
    'networks.back.cni.plugins: ["bridge","portmap"] -> ["ptp"]',
  )
  assert.match(text(await planOf(web(cni({ version: '0.4.0' })))), 'networks.back.cni.cniVersion')
})

test('where plugins are looked for is altered in place', async () => {
  const { planOf, up } = world()
  await up(web(cni()))
  const plan = await planOf(web(cni({ path: ['/opt/mine'] })))
  assert.equal(
    plan.steps.map(({ op }) => op),
    ['network.create'],
  )
  assert.match(text(plan), 'CNI_PATH')
})

test("what plugins publish, and a service's name there, are not the firewall's", async () => {
  const applied = async (state: Parameters<ReturnType<typeof world>['planOf']>[0]) => {
    const { steps } = await world().planOf(state)
    const found = steps.find(({ op }) => op === 'firewall.apply')
    assert.ok(found?.op === 'firewall.apply')
    const { networks, published, services } = found.args
    return { networks, published: published.map((each) => each.network), services: services.length }
  }
  assert.equal(await applied(web(cni(), 2)), { networks: ['back'], published: [], services: 0 })
  // A network of pak's own that leads out comes first.
  assert.equal(await applied(web(cni(), 1, 'front')), {
    networks: ['back', 'front'],
    published: ['front'],
    services: 0,
  })
})

test.run()
