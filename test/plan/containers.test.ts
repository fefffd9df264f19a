import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NO_LIMITS } from '../../src/model/limits.ts'
import type { Plan } from '../../src/model/plan.ts'
import {
  brief,
  desired,
  HEALTH,
  lines,
  mounted,
  OPTIONS,
  on,
  one,
  port,
  service,
  spec,
  text,
  volume,
  world,
} from './build.ts'

test('a new project: everything, in order, with its needs', async () => {
  const { planOf } = world()
  const state = desired(
    [
      service('db', { mounts: mounted('data'), healthcheck: HEALTH }),
      service(
        'web',
        { ports: port(8080) },
        { dependsOn: [on('db', { condition: 'service_healthy' })] },
      ),
    ],
    { volumes: [volume('data')] },
  )
  const planned = await planOf(state)
  assert.is(
    text(planned),
    lines(
      'project.create:project/shop (missing)',
      'network.create:network/default (missing) < project.create:project/shop',
      'volume.create:volume/data (missing) < project.create:project/shop',
      'container.create:service/db/1 (missing) < network.create:network/default project.create:project/shop volume.create:volume/data',
      'container.create:service/web/1 (missing) < network.create:network/default project.create:project/shop',
      'firewall.apply:project/shop (missing) < network.create:network/default project.create:project/shop',
      'container.start:service/db/1 (missing) < container.create:service/db/1 firewall.apply:project/shop network.create:network/default project.create:project/shop volume.create:volume/data',
      'service.wait:service/db (because of db) < container.start:service/db/1',
      'container.start:service/web/1 (missing) < container.create:service/web/1 firewall.apply:project/shop network.create:network/default project.create:project/shop service.wait:service/db',
    ),
  )
  assert.equal(planned.summary, { create: 4, update: 0, recreate: 0, remove: 0, start: 0, stop: 0 })
})

test('a changed variable recreates that container, names the variable, and nothing else', async () => {
  const { planOf, up } = world()
  const with_ = (GREETING: string) =>
    desired([
      service('api'),
      service('web', { environment: { GREETING, B: '1' }, ports: port(80) }),
    ])
  await up(with_('hi'))
  const planned = await planOf(with_('hello'))
  assert.is(
    text(planned),
    lines(
      'container.stop:service/web/1 (environment.GREETING: "hi" -> "hello")',
      'container.remove:service/web/1 (environment.GREETING: "hi" -> "hello") < container.stop:service/web/1',
      'container.create:service/web/1 (environment.GREETING: "hi" -> "hello") < container.remove:service/web/1',
      'container.start:service/web/1 (environment.GREETING: "hi" -> "hello") < container.create:service/web/1 container.stop:service/web/1',
    ),
  )
  assert.equal(planned.summary, { create: 0, update: 0, recreate: 1, remove: 0, start: 0, stop: 0 })
})

test('live fields are changed in place', async () => {
  const { planOf, up } = world()
  await up(one())
  const state = one(
    {
      limits: { ...NO_LIMITS, cpuMillis: 250, memoryBytes: 64 * 2 ** 20 },
      labels: { tier: 'front' },
      restart: { name: 'on-failure', maxRetries: 3 },
      healthcheck: HEALTH,
      stopSignal: 'SIGQUIT',
      stopGraceMs: 90_000,
    },
    {},
  )
  const planned = await planOf(state)
  assert.is(
    brief(planned),
    lines(
      'container.update:service/web/1 (healthcheck: none -> {"intervalMs":30000,"onUnhealthy":"none","retries":3,"startIntervalMs":5000,"startPeriodMs":0,"test":{"command":["true"],"kind":"exec"},"timeoutMs":30000}, labels.tier: none -> "front", limits.cpu: none -> "25%", limits.memory: none -> "64M", restart: "no" -> "on-failure:3", stop_grace_period: "10s" -> "1m30s", stop_signal: none -> "SIGQUIT")',
    ),
  )
  assert.equal(
    planned.steps.map((step) => step.op === 'container.update' && step.args.fields),
    [['healthcheck', 'labels', 'limits', 'restart', 'stopGraceMs', 'stopSignal']],
  )
})

test('a port is changed in place, through the firewall', async () => {
  const { planOf, up } = world()
  await up(one({ ports: port(8080) }))
  assert.is(
    brief(await planOf(one({ ports: port(9090) }))),
    lines(
      'container.update:service/web/1 (ports[8080]: "8080:80" -> none, ports[9090]: none -> "9090:80")',
      'firewall.apply:project/shop (ports: ["0.0.0.0:8080/tcp -> shop-web-1:80 (default)"] -> ["0.0.0.0:9090/tcp -> shop-web-1:80 (default)"])',
    ),
  )
})

test('the same image under another tag is no change; another digest under the same tag is', async () => {
  const images = new Map([
    ['web:1', 'sha256:a'],
    ['web:latest', 'sha256:a'],
  ])
  const { planOf, up } = world({ images })
  const from = (reference: string) => one({ source: { kind: 'image', reference } })
  await up(from('web:1'))
  assert.is(brief(await planOf(from('web:latest'))), '')
  images.set('web:1', 'sha256:b')
  assert.is(
    brief(await planOf(from('web:1'))),
    lines(
      'container.stop:service/web/1 (image: "sha256:a" -> "sha256:b")',
      'container.remove:service/web/1 (image: "sha256:a" -> "sha256:b")',
      'container.create:service/web/1 (image: "sha256:a" -> "sha256:b")',
      'container.start:service/web/1 (image: "sha256:a" -> "sha256:b")',
    ),
  )
  images.delete('web:1')
  assert.is(brief(await planOf(from('web:1'))), '')
  const planned = await planOf(from('web:2'))
  assert.equal(
    planned.steps.flatMap((step) => (step.op === 'container.create' ? step.args.imageDigest : [])),
    [null],
  )
  assert.is(
    brief(planned),
    lines(
      'container.stop:service/web/1 (image: "web:1" -> "web:2")',
      'container.remove:service/web/1 (image: "web:1" -> "web:2")',
      'container.create:service/web/1 (image: "web:1" -> "web:2")',
      'container.start:service/web/1 (image: "web:1" -> "web:2")',
    ),
  )
})

test('expose, and the order of ports and capabilities, are no change', async () => {
  const { planOf, up } = world()
  await up(one({ ports: [...port(1), ...port(2)], capAdd: ['A', 'B'], expose: ['80'] }))
  const turned = one({ ports: [...port(2), ...port(1)], capAdd: ['B', 'A'], expose: [] })
  assert.is(brief(await planOf(turned)), '')
})

test('a container that was only created is started; one that exited is started again by a user', async () => {
  const { host, planOf, up, run } = world()
  const state = one({ restart: { name: 'always', maxRetries: null } })
  const planned = await planOf(state)
  await run({ ...planned, steps: planned.steps.filter(({ op }) => op !== 'container.start') })
  assert.is(brief(await planOf(state)), lines('container.start:service/web/1 (missing)'))
  await up(state)
  host.crash('shop', 'shop-web-1', { exitCode: 3 })
  assert.is(brief(await planOf(state)), lines('container.start:service/web/1 (exited with 3)'))
  assert.is(brief(await planOf(state, { cause: 'loop' })), '')
})

test('the loop starts what its policy wants again, not before its time', async () => {
  const { host, planOf, up } = world()
  await up(one())
  host.crash('shop', 'shop-web-1', { exitCode: 137, oomKilled: true, restartAt: OPTIONS.now })
  assert.is(
    brief(await planOf(one(), { cause: 'loop' })),
    lines('container.start:service/web/1 (exited with 137, out of memory)'),
  )
  const loopAt = (now: string) => planOf(one(), { cause: 'loop', now })
  assert.is(brief(await loopAt('2025-12-31T23:59:59.849Z')), '')
  // What takes time is begun before; its process is let go when it is due, and of a user's plan at once.
  const argsOf = ({ steps }: Plan) => steps.map(({ args }) => args)
  const container = 'shop-web-1'
  assert.equal(argsOf(await loopAt('2025-12-31T23:59:59.850Z')), [
    { container, notBefore: OPTIONS.now },
  ])
  assert.equal(argsOf(await loopAt(OPTIONS.now)), [{ container }])
  // The clock was set back since: nothing waits for a day.
  assert.equal(argsOf(await loopAt('2025-12-30T23:59:59.849Z')), [{ container }])
  assert.equal(argsOf(await planOf(one(), { now: '2025-12-31T23:59:59.850Z' })), [{ container }])
})

test('what did its job is not run again, until it is another', async () => {
  const { planOf, up } = world({ exits: () => 0 })
  await up(one())
  assert.is(brief(await planOf(one())), '')
  assert.is(
    brief(await planOf(one({ command: ['migrate', '2'] }))),
    lines(
      'container.remove:service/web/1 (command: ["sleep","1000"] -> ["migrate","2"])',
      'container.create:service/web/1 (command: ["sleep","1000"] -> ["migrate","2"])',
      'container.start:service/web/1 (command: ["sleep","1000"] -> ["migrate","2"])',
    ),
  )
})

test('forced: the services asked for, not what they depend on', async () => {
  const { planOf, up } = world()
  const state = desired([service('db'), service('web', {}, { dependsOn: [on('db')] })])
  await up(state)
  assert.is(
    brief(await planOf(state, { services: ['web'], forceRecreate: true })),
    lines(
      'container.stop:service/web/1 (asked for: --force-recreate)',
      'container.remove:service/web/1 (asked for: --force-recreate)',
      'container.create:service/web/1 (asked for: --force-recreate)',
      'container.start:service/web/1 (asked for: --force-recreate)',
    ),
  )
})

test('scaled down: the last go; scaled up: only the new come', async () => {
  const { planOf, up } = world()
  await up(one({}, { replicas: 3 }))
  assert.is(
    brief(await planOf(one({}, { replicas: 1 }))),
    lines(
      'firewall.apply:project/shop (balancing: ["web on default -> shop-web-2","web on default -> shop-web-3"] -> [])',
      'container.stop:service/web/2 (scaled from 3 to 1)',
      'container.stop:service/web/3 (scaled from 3 to 1)',
      'container.remove:service/web/2 (scaled from 3 to 1)',
      'container.remove:service/web/3 (scaled from 3 to 1)',
    ),
  )
  assert.is(
    brief(await planOf(one({}, { replicas: 4 }))),
    lines(
      'container.create:service/web/4 (missing)',
      'container.start:service/web/4 (missing)',
      'firewall.admit:project/shop (balancing: [] -> ["web on default -> shop-web-4"])',
    ),
  )
})

test('containers of services that the file lost: a warning, or removed when asked', async () => {
  const { planOf, up } = world()
  await up(desired([service('old'), service('web')]))
  const planned = await planOf(one())
  assert.equal(planned.steps, [])
  assert.equal(planned.warnings, [
    '`shop-old-1`: the file has no such service; --remove-orphans removes it',
  ])
  assert.is(
    brief(await planOf(one(), { removeOrphans: true })),
    lines(
      'container.stop:service/old/1 (not in the file)',
      'container.remove:service/old/1 (not in the file)',
    ),
  )
})

test('a renamed service that keeps its container name takes the name over', async () => {
  const { planOf, up } = world()
  await up(desired([service('a', {}, { containerName: 'x' })]))
  assert.is(
    text(await planOf(desired([service('b', {}, { containerName: 'x' })]))),
    lines(
      'container.stop:service/a/1 (not in the file)',
      'container.remove:service/a/1 (not in the file) < container.stop:service/a/1',
      'container.create:service/b/1 (missing) < container.remove:service/a/1',
      'container.start:service/b/1 (missing) < container.create:service/b/1',
    ),
  )
})

test('the time to stop is handed on', async () => {
  const { planOf, up } = world()
  await up(one())
  const planned = await planOf(one({ command: ['x'] }), { timeoutMs: 1500 })
  assert.equal(
    planned.steps.flatMap((step) => (step.op === 'container.stop' ? step.args : [])),
    [{ byUser: false, container: 'shop-web-1', graceMs: 1500, signal: null }],
  )
})

test('every changed field of a container is named as a user writes it', async () => {
  const { planOf, up } = world()
  await up(
    one({ ...spec(), environment: { GONE: '1' }, ulimits: [{ name: 'nofile', soft: 1, hard: 2 }] }),
  )
  const state = one({
    source: { kind: 'rootfs', path: '/srv' },
    entrypoint: ['a'],
    mounts: [
      {
        kind: 'bind',
        source: '/a',
        target: '/b',
        readOnly: true,
        createHostPath: false,
        propagation: 'rprivate',
      },
    ],
    shmBytes: 2 ** 20,
    networkMode: { kind: 'host' },
    networks: [],
    capDrop: ['ALL'],
    sysctls: { 'net.core.somaxconn': '1' },
    ulimits: [{ name: 'nofile', soft: 1, hard: 4 }],
    extraHosts: { db: '10.0.0.1' },
    pidMode: { kind: 'host' },
  })
  const [stop] = (await planOf(state)).steps
  assert.is(
    brief({ ...(await planOf(state)), steps: stop ? [stop] : [] }).replaceAll(', ', '\n'),
    lines(
      'container.stop:service/web/1 (cap_drop: [] -> ["ALL"]',
      'entrypoint: none -> ["a"]',
      'environment.GONE: "1" -> none',
      'extra_hosts.db: none -> "10.0.0.1"',
      'network_mode: "bridge" -> "host"',
      'networks.default: {"aliases":[],"ipv4_address":null} -> none',
      'pid: none -> "host"',
      'rootfs: "/" -> "/srv"',
      'shm_size: "64M" -> "1M"',
      'sysctls.net.core.somaxconn: none -> "1"',
      'ulimits.nofile: {"hard":2,"soft":1} -> {"hard":4,"soft":1}',
      'volumes[/b]: none -> "/a:/b:ro:rprivate")',
    ),
  )
})

test.run()
