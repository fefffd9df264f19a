import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import type { HostChange } from '../../src/executor/executor.ts'
import { desired, mounted, network, port, service, volume, world } from '../plan/build.ts'

const SHOP = desired([service('web', { ports: port(8080), mounts: mounted('data') })], {
  volumes: [volume('data')],
})

test('inspect shows what was made, and changes nothing', async () => {
  const { host, up } = world()
  await up(SHOP)
  const seen = host.state('shop')
  assert.equal(
    seen.containers.map(({ name, status, addresses }) => [name, status.state, addresses]),
    [['shop-web-1', 'running', { default: seen.networks[0]?.subnet.replace('0.0/16', '0.2') }]],
  )
  assert.is(seen.firewall.published[0]?.container, 'shop-web-1')
  assert.equal(host.state('shop'), seen)
  assert.equal(await host.projects(), ['shop'])
  assert.equal(host.state('other').containers, [])
})

test('a step that stands on nothing is refused', async () => {
  const { host, planOf } = world()
  const planned = await planOf(SHOP)
  const context = { project: 'shop', signal: new AbortController().signal, concurrency: 1 }
  for (const step of planned.steps) {
    if (step.op !== 'container.create' && step.op !== 'container.start') continue
    const [error] = await (step.op === 'container.create'
      ? host.run(step.op, [step], context)
      : host.run(step.op, [step], context))
    assert.is(error?.code, 'not_found')
  }
})

test('a crash shows its exit code, tells whoever watches, and gets a restart when it is due', async () => {
  const { host, up, planOf } = world()
  await up(SHOP)
  const changes: HostChange[] = []
  const watching = host.watch((change) => changes.push(change))
  host.crash('shop', 'shop-web-1', {
    exitCode: 137,
    oomKilled: true,
    restartAt: '2026-01-01T00:00:01.000Z',
  })
  watching[Symbol.dispose]()
  host.flushFirewall('shop')
  assert.equal(changes, [{ project: 'shop', cause: 'container exited', kind: 'status' }])
  const early = await planOf(SHOP, { cause: 'loop', now: '2026-01-01T00:00:00.849Z' })
  assert.equal(
    early.steps.map(({ op }) => op),
    ['firewall.apply'],
  )
  await up(SHOP, { cause: 'loop', now: '2026-01-01T00:00:01.000Z' })
  assert.is(host.state('shop').containers[0]?.restartCount, 1)
})

test('addresses are kept across a recreate', async () => {
  const { host, up } = world()
  const two = desired([service('a'), service('b')])
  await up(two)
  const before = host.state('shop').containers.map(({ addresses }) => addresses)
  await up(desired([service('a', { command: ['x'] }), service('b', { command: ['y'] })]))
  assert.equal(
    host.state('shop').containers.map(({ addresses }) => addresses),
    before,
  )
})

test('a chosen step fails once', async () => {
  const { host, planOf, run } = world()
  host.failNext('container.start:service/web/1', new PakError('runtime', 'start, `web`: unlucky'))
  const first = await run(await planOf(SHOP))
  assert.equal(
    first.failed.map(({ id }) => id),
    ['container.start:service/web/1'],
  )
  assert.equal((await run(await planOf(SHOP))).failed, [])
})

test('preflight names the image that is missing and the holder of a port', async () => {
  const { host, up, planOf } = world({ images: new Map() })
  await up(SHOP)
  const next = {
    ...SHOP,
    project: 'two',
    services: [service('api', { source: { kind: 'image', reference: 'x:1' }, ports: port(8080) })],
    networks: [network('default')],
  }
  const planned = await planOf(next)
  const observed = host.state('two')
  const problems = await host.preflight({ desired: next, observed, steps: planned.steps })
  assert.equal(problems.map(({ message }) => message).sort(), [
    'publish, `0.0.0.0:8080`: `shop-web-1` has it',
    'use image, `x:1`: it is not in the local store',
  ])
})

test.run()
