import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Step } from '../../src/model/plan.ts'
import { brief, desired, HEALTH, lines, one, port, service, text, world } from './build.ts'

const PUBLISHED = { ports: port(8080) }
const replicas = (count: number) => one(PUBLISHED, { replicas: count })
const sticky = one(PUBLISHED, { replicas: 2, affinity: 'client_ip' })

/** Who gets connections of the port and of the service's address, once a step has run. */
function behind(step: Step | undefined): string {
  if (step?.op !== 'firewall.apply' && step?.op !== 'firewall.admit') return 'no such step'
  const ports = step.args.published.map(({ container }) => container)
  const targets = step.args.services.flatMap((one) => one.targets.map(({ container }) => container))
  return `${ports.join(' ')} / ${targets.join(' ')}`
}

test('several replicas share the port and an address; one has the port alone', async () => {
  const { up, host, planOf } = world()
  await up(replicas(1))
  assert.equal(host.state('shop').firewall.services, [])
  await up(replicas(3))
  const { firewall } = host.state('shop')
  const all = ['shop-web-1', 'shop-web-2', 'shop-web-3']
  assert.equal(
    firewall.published.map(({ container }) => container),
    all,
  )
  assert.equal(firewall.services, [
    { service: 'web', network: 'default', affinity: 'none', containers: all },
  ])
  assert.is(text(await planOf(replicas(3))), '')
})

test('the first `up` of several replicas knows them at once: one step', async () => {
  const { planOf } = world()
  const { steps } = await planOf(replicas(2))
  const firewall = steps.filter(({ op }) => op.startsWith('firewall.'))
  assert.equal(firewall.map(behind), ['shop-web-1 shop-web-2 / shop-web-1 shop-web-2'])
})

test('who goes is let go of before it stops; who comes is let in when it runs', async () => {
  const { up, planOf } = world()
  await up(replicas(2))
  const grows = await planOf(replicas(3))
  const [apply, admit] = ['firewall.apply', 'firewall.admit'].map((op) =>
    grows.steps.find((step) => step.op === op),
  )
  assert.is(behind(apply), 'shop-web-1 shop-web-2 / shop-web-1 shop-web-2')
  assert.is(behind(admit), 'shop-web-1 shop-web-2 shop-web-3 / shop-web-1 shop-web-2 shop-web-3')
  assert.ok(admit?.needs.includes('container.start:service/web/3'))
  const shrinks = await planOf(replicas(1))
  const stop = shrinks.steps.find(({ op }) => op === 'container.stop')
  assert.ok(stop?.needs.includes('firewall.apply:project/shop'))
  assert.is(
    behind(shrinks.steps.find(({ op }) => op === 'firewall.apply')),
    'shop-web-1 / shop-web-1',
  )
})

test('who has died is passed by until it runs again; nobody calls that drift', async () => {
  const { up, planOf, host } = world()
  await up(replicas(3))
  host.crash('shop', 'shop-web-2', { exitCode: 1, restartAt: '2026-01-01T00:00:30.000Z' })
  const planned = await planOf(replicas(3), { cause: 'loop' })
  assert.is(
    brief(planned),
    lines(
      'firewall.apply:project/shop (balancing: ["0.0.0.0:8080/tcp -> shop-web-2:80","web on default -> shop-web-2"] -> [])',
    ),
  )
  assert.is(behind(planned.steps[0]), 'shop-web-1 shop-web-3 / shop-web-1 shop-web-3')
})

test('where nobody takes connections, whoever runs gets them', async () => {
  const state = one({ ...PUBLISHED, healthcheck: HEALTH }, { replicas: 2 })
  const { up, planOf, host } = world({ health: () => 'unhealthy' })
  await up(state)
  assert.is(host.state('shop').firewall.published.length, 2)
  assert.is(text(await planOf(state, { cause: 'loop' })), '')
})

test('the unhealthy one of several is passed by', async () => {
  const state = one({ ...PUBLISHED, healthcheck: HEALTH }, { replicas: 2 })
  const { up, host } = world({
    health: ({ replica }) => (replica === 2 ? 'unhealthy' : 'healthy'),
  })
  await up(state)
  await up(state)
  assert.equal(
    host.state('shop').firewall.published.map(({ container }) => container),
    ['shop-web-1'],
  )
})

test('`dnsrr` has no address, `vip` has one for a single replica; one that was there stays', async () => {
  const { up, host } = world()
  const services = () => host.state('shop').firewall.services.map(({ service: name }) => name)
  await up(one({}, { replicas: 2, endpointMode: 'dnsrr' }))
  assert.equal(services(), [])
  await up(one({}, { endpointMode: 'vip' }))
  assert.equal(services(), ['web'])
  const [before] = host.state('shop').networks
  await up(one({}, { replicas: 2 }))
  await up(one())
  assert.equal(services(), ['web'])
  assert.equal(host.state('shop').networks[0]?.services, before?.services)
  await up(one({}, { endpointMode: 'dnsrr' }))
  assert.equal(services(), [])
  assert.equal(host.state('shop').networks[0]?.services, {})
})

test('affinity is altered in place', async () => {
  const { up, planOf, host } = world()
  await up(replicas(2))
  assert.is(
    brief(await planOf(sticky)).replace(/: \[.*/, ''),
    'firewall.apply:project/shop (balancing',
  )
  await up(sticky)
  assert.equal(
    host.state('shop').firewall.published.map(({ affinity }) => affinity),
    ['client_ip', 'client_ip'],
  )
})

test('a service without replicas takes no step more', async () => {
  const { up, planOf } = world()
  const state = desired([service('web', PUBLISHED), service('db')])
  const { steps } = await planOf(state)
  assert.is(steps.filter(({ op }) => op.startsWith('firewall.')).length, 1)
  await up(state)
  assert.is(text(await planOf(state, { cause: 'loop' })), '')
})

test.run()
