import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NO_LIMITS } from '../../src/model/limits.ts'
import { planDown } from '../../src/plan/down.ts'
import { overlap } from '../../src/plan/networks.ts'
import { renderPlan } from '../../src/plan/render.ts'
import {
  brief,
  desired,
  lines,
  mounted,
  network,
  one,
  port,
  service,
  text,
  volume,
  world,
} from './build.ts'

const DOWN = { removeVolumes: false, removeOrphans: false, graceMs: null }
const at = (name: string) => ({ networks: [{ network: name, aliases: [], ipv4: null }] })

test('a limit of the project is changed in place', async () => {
  const { planOf, up } = world()
  await up(one())
  const limits = { ...NO_LIMITS, memoryBytes: 2 ** 30 }
  assert.is(
    text(await planOf({ ...one(), limits })),
    lines('project.update:project/shop (limits.memory: none -> "1G")'),
  )
})

test('a changed network is made anew, with the containers on it', async () => {
  const { planOf, up } = world()
  await up(one({ ports: port(80) }))
  const state = { ...one({ ports: port(80) }), networks: [network('default', { internal: true })] }
  assert.is(
    text(await planOf(state)),
    lines(
      'container.stop:service/web/1 (networks.default.internal: false -> true)',
      'container.remove:service/web/1 (networks.default.internal: false -> true) < container.stop:service/web/1',
      'network.remove:network/default (networks.default.internal: false -> true) < container.remove:service/web/1 container.stop:service/web/1',
      'network.create:network/default (networks.default.internal: false -> true) < network.remove:network/default',
      'container.create:service/web/1 (networks.default.internal: false -> true) < container.remove:service/web/1 network.create:network/default',
      'firewall.apply:project/shop (networks.default.internal: false -> true) < network.create:network/default',
      'container.start:service/web/1 (networks.default.internal: false -> true) < container.create:service/web/1 container.stop:service/web/1 firewall.apply:project/shop network.create:network/default',
    ),
  )
})

test('a range that the file leaves open is right whatever it is', async () => {
  const { host, planOf, up } = world()
  const fixed = { ...one(), networks: [network('default', { subnet: '10.9.0.0/16' })] }
  await up(fixed)
  assert.is(brief(await planOf(one())), '')
  await up(one())
  assert.is(host.state('shop').networks[0]?.subnet, '10.9.0.0/16')
  assert.is(brief(await planOf(fixed)), '')
})

test('a network that the file lost goes when nothing uses it', async () => {
  const { planOf, up } = world()
  const two = desired([service('old', at('back')), service('web')], {
    networks: [network('back'), network('default')],
  })
  await up(two)
  assert.is(brief(await planOf(one())), '')
  assert.is(
    text(await planOf(one(), { removeOrphans: true })),
    lines(
      'container.stop:service/old/1 (not in the file)',
      'firewall.apply:project/shop (networks: ["back"] -> [])',
      'container.remove:service/old/1 (not in the file) < container.stop:service/old/1',
      'network.remove:network/back (not in the file) < container.remove:service/old/1 container.stop:service/old/1 firewall.apply:project/shop',
    ),
  )
})

test('a renamed network may keep its range', async () => {
  const { planOf, up } = world()
  const named = (name: string) =>
    desired([service('web', at(name))], { networks: [network(name, { subnet: '10.9.0.0/16' })] })
  await up(named('a'))
  assert.is(
    text(await planOf(named('b'))),
    lines(
      'container.stop:service/web/1 (networks.a: {"aliases":[],"ipv4_address":null} -> none, networks.b: none -> {"aliases":[],"ipv4_address":null})',
      'container.remove:service/web/1 (networks.a: {"aliases":[],"ipv4_address":null} -> none, networks.b: none -> {"aliases":[],"ipv4_address":null}) < container.stop:service/web/1',
      'network.remove:network/a (not in the file) < container.remove:service/web/1 container.stop:service/web/1',
      'network.create:network/b (missing) < network.remove:network/a',
      'container.create:service/web/1 (networks.a: {"aliases":[],"ipv4_address":null} -> none, networks.b: none -> {"aliases":[],"ipv4_address":null}) < container.remove:service/web/1 network.create:network/b',
      'firewall.apply:project/shop (networks: ["a"] -> ["b"]) < network.create:network/b',
      'container.start:service/web/1 (networks.a: {"aliases":[],"ipv4_address":null} -> none, networks.b: none -> {"aliases":[],"ipv4_address":null}) < container.create:service/web/1 container.stop:service/web/1 firewall.apply:project/shop network.create:network/b',
    ),
  )
  await up(named('b'))
  assert.is(brief(await planOf(named('b'))), '')
})

test('two containers may swap their addresses', async () => {
  const { planOf, up } = world()
  const state = (a: string, b: string) =>
    desired(
      [
        service('a', { networks: [{ network: 'default', aliases: [], ipv4: a }] }),
        service('b', { networks: [{ network: 'default', aliases: [], ipv4: b }] }),
      ],
      { networks: [network('default', { subnet: '10.9.0.0/16' })] },
    )
  await up(state('10.9.0.5', '10.9.0.6'))
  await up(state('10.9.0.6', '10.9.0.5'))
  assert.is(brief(await planOf(state('10.9.0.6', '10.9.0.5'))), '')
})

test('a bridge that somebody deleted is mended, and nothing is restarted', async () => {
  const { host, planOf, up } = world()
  await up(one())
  host.deleteBridge('shop', 'default')
  const planned = await planOf(one())
  assert.is(
    brief(planned).replace(/pak\d+/, 'pakN'),
    lines('network.create:network/default (drift: pakN is gone)'),
  )
  assert.equal(planned.summary, { create: 0, update: 1, recreate: 0, remove: 0, start: 0, stop: 0 })
})

test('what somebody did to a running container is undone in place, once its network is', async () => {
  const { host, planOf, up } = world()
  await up(one())
  const fact = 'memory.max was 134217728, should be 67108864'
  host.meddle('shop', 'shop-web-1', { of: 'limits', fact })
  host.meddle('shop', 'shop-web-1', { of: 'network', fact: 'veth pv1 is gone' })
  host.deleteBridge('shop', 'default')
  assert.is(
    text(await planOf(one(), { cause: 'loop' })).replace(/pak\d+/, 'pakN'),
    lines(
      'network.create:network/default (drift: pakN is gone)',
      `container.repair:service/web/1 (drift: ${fact}; veth pv1 is gone) < network.create:network/default`,
    ),
  )
})

test('a mount that is gone comes back with a new run', async () => {
  const { host, planOf, up } = world()
  await up(one())
  host.meddle('shop', 'shop-web-1', { of: 'mounts', fact: 'tmpfs /cache was unmounted' })
  assert.is(
    brief(await planOf(one(), { cause: 'loop' })),
    lines(
      'container.stop:service/web/1 (drift: tmpfs /cache was unmounted)',
      'container.start:service/web/1 (drift: tmpfs /cache was unmounted)',
    ),
  )
  await up(one(), { cause: 'loop' })
  assert.is(brief(await planOf(one())), '')
})

test("the project's own cgroup is put right", async () => {
  const { host, planOf, up } = world()
  await up(one())
  host.meddleWithProject('shop', 'pids.max was 5, should be max')
  assert.is(
    brief(await planOf(one(), { cause: 'loop' })),
    'project.update:project/shop (drift: pids.max was 5, should be max)',
  )
})

test('a firewall that somebody flushed is put right, and says what was gone', async () => {
  const { host, planOf, up } = world()
  await up(one({ ports: port(8080) }))
  host.flushFirewall('shop')
  assert.is(
    brief(await planOf(one({ ports: port(8080) }))),
    lines(
      'firewall.apply:project/shop (drift: the firewall does not know network default; not forwarded: 0.0.0.0:8080/tcp -> shop-web-1:80)',
    ),
  )
})

test('volumes are made when missing, and removed only when asked', async () => {
  const { planOf, up } = world()
  const state = desired([service('web', { mounts: mounted('data') })], {
    volumes: [volume('data')],
  })
  await up(state)
  assert.is(
    brief(await planOf(one())),
    lines(
      'container.stop:service/web/1 (volumes[/data]: "data:/data" -> none)',
      'container.remove:service/web/1 (volumes[/data]: "data:/data" -> none)',
      'container.create:service/web/1 (volumes[/data]: "data:/data" -> none)',
      'container.start:service/web/1 (volumes[/data]: "data:/data" -> none)',
    ),
  )
  await up(one())
  const planned = await planOf(one(), { removeVolumes: true })
  assert.is(brief(planned), lines('volume.remove:volume/data (not in the file)'))
  assert.ok(planned.steps[0]?.destroys)
})

test('down: everything of the file, volumes stay; then nothing is left to do', async () => {
  const { host, planOf, run, up } = world()
  const state = desired([service('web', { ports: port(80), mounts: mounted('data') })], {
    volumes: [volume('data')],
  })
  await up(state)
  const down = planDown(state, host.state('shop'), DOWN)
  assert.is(
    text(down),
    lines(
      'container.stop:service/web/1 (asked for: down)',
      'firewall.apply:project/shop (asked for: down)',
      'container.remove:service/web/1 (asked for: down) < container.stop:service/web/1',
      'network.remove:network/default (asked for: down) < container.remove:service/web/1 container.stop:service/web/1 firewall.apply:project/shop',
      'project.remove:project/shop (asked for: down) < container.remove:service/web/1 container.stop:service/web/1 firewall.apply:project/shop network.remove:network/default',
    ),
  )
  await run(down)
  assert.equal(host.state('shop').volumes.length, 1)
  assert.is(brief(planDown(state, host.state('shop'), DOWN)), '')
  assert.not.ok((await planOf(state)).steps.some(({ op }) => op === 'volume.create'))
  const all = { ...DOWN, removeVolumes: true }
  assert.is(
    brief(planDown(null, host.state('shop'), all)),
    lines('volume.remove:volume/data (asked for: down --volumes)'),
  )
})

test('down leaves what is not in the file, and the network that it uses', async () => {
  const { host, up, run } = world()
  await up(
    desired([service('old', { ports: port(1) }), service('web', at('back'))], {
      networks: [network('back'), network('default')],
    }),
  )
  const down = planDown(one(), host.state('shop'), DOWN)
  assert.is(
    brief(down),
    lines(
      'container.stop:service/web/1 (asked for: down)',
      'firewall.apply:project/shop (asked for: down)',
      'container.remove:service/web/1 (asked for: down)',
      'network.remove:network/back (asked for: down)',
    ),
  )
  assert.equal(down.warnings, [
    '`shop-old-1` stays: the file has no such service; --remove-orphans removes it',
  ])
  await run(down)
  assert.equal(
    host.state('shop').containers.map(({ name }) => name),
    ['shop-old-1'],
  )
  assert.is(
    brief(planDown(null, host.state('shop'), DOWN)),
    lines(
      'container.stop:service/old/1 (asked for: down)',
      'firewall.apply:project/shop (asked for: down)',
      'container.remove:service/old/1 (asked for: down)',
      'network.remove:network/default (asked for: down)',
      'project.remove:project/shop (asked for: down)',
    ),
  )
})

test('a plan in words', async () => {
  const { planOf, up } = world()
  assert.is(
    renderPlan(await planOf(one({ ports: port(80) }))),
    lines(
      '  + project/shop  create: missing',
      '  + network/default  create: missing',
      '  + service/web/1  create: missing',
      '',
      'shop: 2 to create',
    ),
  )
  await up(one())
  assert.is(renderPlan(await planOf(one())), 'shop: nothing to do')
  const hostile = one({ environment: { A: '\u001b[2J\u202e', B: 'x' }, labels: { a: 'b' } })
  assert.is(
    renderPlan(await planOf(hostile)),
    lines(
      '  ± service/web/1  recreate',
      '      environment.A: none -> "\\u001b[2J\\u202e"',
      '      environment.B: none -> "x"',
      '      labels.a: none -> "b"',
      '',
      'shop: 1 to recreate',
    ),
  )
})

test('ranges overlap when they share an address', () => {
  assert.ok(overlap('10.1.0.0/16', '10.1.2.0/24'))
  assert.ok(overlap('0.0.0.0/0', '192.168.0.0/24'))
  assert.not.ok(overlap('10.1.0.0/24', '10.1.1.0/24'))
  assert.not.ok(overlap('fd00::/8', '10.0.0.0/8'))
})

test.run()
