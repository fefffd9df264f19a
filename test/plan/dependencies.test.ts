import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ContainerStatus, stateWord } from '../../src/model/status.ts'
import { type ActionSelection, planAction } from '../../src/plan/action.ts'
import {
  brief,
  desired,
  HEALTH,
  lines,
  mounted,
  on,
  service,
  text,
  volume,
  world,
} from './build.ts'

const ACTION: ActionSelection = { services: [], graceMs: null, signal: null, force: false }
const CHAIN = (command = 'x') =>
  desired([
    service('api', {}, { dependsOn: [on('db', { restart: true })] }),
    service('db', { command: [command] }),
    service('web', {}, { dependsOn: [on('api')] }),
  ])

test('who asked for it restarts with what it depends on; dependants stop first', async () => {
  const { planOf, up } = world()
  await up(CHAIN())
  assert.is(
    text(await planOf(CHAIN('y'))),
    lines(
      'container.stop:service/api/1 (because of db)',
      'container.stop:service/db/1 (command: ["x"] -> ["y"]) < container.stop:service/api/1',
      'container.remove:service/db/1 (command: ["x"] -> ["y"]) < container.stop:service/db/1',
      'container.create:service/db/1 (command: ["x"] -> ["y"]) < container.remove:service/db/1',
      'container.start:service/db/1 (command: ["x"] -> ["y"]) < container.create:service/db/1 container.stop:service/db/1',
      'container.start:service/api/1 (because of db) < container.start:service/db/1 container.stop:service/api/1',
    ),
  )
})

test('who asked for it follows what ended by itself, and is stopped before that starts again', async () => {
  const { host, planOf, up } = world()
  await up(CHAIN())
  host.crash('shop', 'shop-db-1', { exitCode: 137 })
  assert.is(
    text(await planOf(CHAIN())),
    lines(
      'container.stop:service/api/1 (because of db)',
      'container.start:service/db/1 (exited with 137) < container.stop:service/api/1',
      'container.start:service/api/1 (because of db) < container.start:service/db/1 container.stop:service/api/1',
    ),
  )
})

test('who shares a namespace restarts with its lender', async () => {
  const { host, planOf, up } = world()
  const state = (command: string) =>
    desired([
      service('net', { command: [command] }),
      service('side', { networkMode: { kind: 'service', service: 'net' }, networks: [] }),
    ])
  await up(state('x'))
  assert.is(
    text(await planOf(state('y'))),
    lines(
      'container.stop:service/side/1 (because of net)',
      'container.stop:service/net/1 (command: ["x"] -> ["y"]) < container.stop:service/side/1',
      'container.remove:service/net/1 (command: ["x"] -> ["y"]) < container.stop:service/net/1',
      'container.create:service/net/1 (command: ["x"] -> ["y"]) < container.remove:service/net/1',
      'container.start:service/net/1 (command: ["x"] -> ["y"]) < container.create:service/net/1 container.stop:service/net/1',
      'container.start:service/side/1 (because of net) < container.start:service/net/1 container.stop:service/side/1',
    ),
  )
  host.crash('shop', 'shop-net-1', { exitCode: 1 })
  assert.is(
    brief(await planOf(state('x'))),
    lines(
      'container.stop:service/side/1 (because of net)',
      'container.start:service/net/1 (exited with 1)',
      'container.start:service/side/1 (because of net)',
    ),
  )
})

test('a wait only where something starts that waits, and only until it is so', async () => {
  const { planOf, up } = world()
  const state = (command: string) =>
    desired([
      service('db', { healthcheck: HEALTH }),
      service('seed'),
      service(
        'web',
        { command: [command] },
        {
          dependsOn: [
            on('db', { condition: 'service_healthy' }),
            on('seed', { condition: 'service_completed_successfully' }),
          ],
        },
      ),
    ])
  assert.is(
    text(await planOf(state('x'))),
    lines(
      'project.create:project/shop (missing)',
      'network.create:network/default (missing) < project.create:project/shop',
      'container.create:service/db/1 (missing) < network.create:network/default project.create:project/shop',
      'container.create:service/seed/1 (missing) < network.create:network/default project.create:project/shop',
      'container.create:service/web/1 (missing) < network.create:network/default project.create:project/shop',
      'firewall.apply:project/shop (missing) < network.create:network/default project.create:project/shop',
      'container.start:service/db/1 (missing) < container.create:service/db/1 firewall.apply:project/shop network.create:network/default project.create:project/shop',
      'container.start:service/seed/1 (missing) < container.create:service/seed/1 firewall.apply:project/shop network.create:network/default project.create:project/shop',
      'service.wait:service/db (because of db) < container.start:service/db/1',
      'service.wait:service/seed (because of seed) < container.start:service/seed/1',
      'container.start:service/web/1 (missing) < container.create:service/web/1 firewall.apply:project/shop network.create:network/default project.create:project/shop service.wait:service/db service.wait:service/seed',
    ),
  )
  await up(state('x'))
  assert.is(brief(await planOf(state('x'))), '')
  assert.is(
    brief(await planOf(state('y'))),
    lines(
      'container.stop:service/web/1 (command: ["x"] -> ["y"])',
      'container.remove:service/web/1 (command: ["x"] -> ["y"])',
      'container.create:service/web/1 (command: ["x"] -> ["y"])',
      'container.start:service/web/1 (command: ["x"] -> ["y"])',
    ),
  )
})

test('two conditions on one service are two waits', async () => {
  const { planOf } = world()
  const state = desired([
    service('a', {}, { dependsOn: [on('x', { condition: 'service_healthy' })] }),
    service('b', {}, { dependsOn: [on('x', { condition: 'service_completed_successfully' })] }),
    service('x', { healthcheck: HEALTH }),
  ])
  const waits = (await planOf(state)).steps.filter(({ op }) => op === 'service.wait')
  assert.equal(
    waits.map(({ id }) => id),
    ['service.wait:service/x', 'service.wait:service/x/completed'],
  )
})

test('an unhealthy dependency is waited for when its dependant starts again', async () => {
  let told: 'healthy' | 'unhealthy' = 'healthy'
  const { host, planOf, up } = world({ health: () => told })
  const state = desired([
    service('db', { healthcheck: HEALTH }),
    service('web', {}, { dependsOn: [on('db', { condition: 'service_healthy' })] }),
  ])
  told = 'unhealthy'
  await up(state).catch(() => {})
  told = 'healthy'
  assert.is(
    brief(await planOf(state)),
    lines('service.wait:service/db (because of db)', 'container.start:service/web/1 (missing)'),
  )
  await up(state)
  assert.is(host.state('shop').containers.length, 2)
})

test('some services: with what they depend on, or without', async () => {
  const { planOf } = world()
  assert.is(
    brief(await planOf(CHAIN(), { services: ['api'] })),
    lines(
      'project.create:project/shop (missing)',
      'network.create:network/default (missing)',
      'container.create:service/api/1 (missing)',
      'container.create:service/db/1 (missing)',
      'firewall.apply:project/shop (missing)',
      'container.start:service/db/1 (missing)',
      'container.start:service/api/1 (missing)',
    ),
  )
  assert.is(
    text(await planOf(CHAIN(), { services: ['api'], noDeps: true })),
    lines(
      'project.create:project/shop (missing)',
      'network.create:network/default (missing) < project.create:project/shop',
      'container.create:service/api/1 (missing) < network.create:network/default project.create:project/shop',
      'firewall.apply:project/shop (missing) < network.create:network/default project.create:project/shop',
      'container.start:service/api/1 (missing) < container.create:service/api/1 firewall.apply:project/shop network.create:network/default project.create:project/shop',
    ),
  )
  assert.equal((await planOf(CHAIN(), { services: ['nope'] })).warnings, [
    'service `nope` is not in the file',
  ])
})

test('a dependency that is not there and not required is no step', async () => {
  const { planOf } = world()
  const state = desired([
    service(
      'web',
      {},
      { dependsOn: [on('gone', { required: false, condition: 'service_healthy' })] },
    ),
  ])
  assert.is(
    brief(await planOf(state)),
    lines(
      'project.create:project/shop (missing)',
      'network.create:network/default (missing)',
      'container.create:service/web/1 (missing)',
      'firewall.apply:project/shop (missing)',
      'container.start:service/web/1 (missing)',
    ),
  )
})

test('old and new dependencies may contradict each other', async () => {
  const { planOf, up } = world()
  await up(desired([service('a', {}, { dependsOn: [on('b')] }), service('b')]))
  const turned = desired([
    service('a', { command: ['y'] }),
    service('b', { command: ['y'] }, { dependsOn: [on('a')] }),
  ])
  assert.is(
    text(await planOf(turned)),
    lines(
      'container.stop:service/a/1 (command: ["sleep","1000"] -> ["y"], depends_on.b: {"condition":"service_started","required":true,"restart":false} -> none)',
      'container.stop:service/b/1 (command: ["sleep","1000"] -> ["y"], depends_on.a: none -> {"condition":"service_started","required":true,"restart":false}) < container.stop:service/a/1',
      'container.remove:service/a/1 (command: ["sleep","1000"] -> ["y"], depends_on.b: {"condition":"service_started","required":true,"restart":false} -> none) < container.stop:service/a/1',
      'container.remove:service/b/1 (command: ["sleep","1000"] -> ["y"], depends_on.a: none -> {"condition":"service_started","required":true,"restart":false}) < container.stop:service/b/1',
      'container.create:service/a/1 (command: ["sleep","1000"] -> ["y"], depends_on.b: {"condition":"service_started","required":true,"restart":false} -> none) < container.remove:service/a/1',
      'container.create:service/b/1 (command: ["sleep","1000"] -> ["y"], depends_on.a: none -> {"condition":"service_started","required":true,"restart":false}) < container.remove:service/b/1',
      'container.start:service/a/1 (command: ["sleep","1000"] -> ["y"], depends_on.b: {"condition":"service_started","required":true,"restart":false} -> none) < container.create:service/a/1 container.stop:service/a/1',
      'container.start:service/b/1 (command: ["sleep","1000"] -> ["y"], depends_on.a: none -> {"condition":"service_started","required":true,"restart":false}) < container.create:service/b/1 container.start:service/a/1 container.stop:service/b/1',
    ),
  )
})

test('what takes over a volume starts after the one that leaves has stopped', async () => {
  const { planOf, up } = world()
  const state = (name: string) =>
    desired([service(name, { mounts: mounted('data') })], { volumes: [volume('data')] })
  await up(state('old'))
  const planned = await planOf(state('new'), { removeOrphans: true })
  const start = planned.steps.find(({ id }) => id === 'container.start:service/new/1')
  assert.ok(start?.needs.includes('container.stop:service/old/1'))
})

test('actions follow the records: stop, start, restart, kill, rm', async () => {
  const { host, up, run } = world()
  await up(CHAIN())
  const act = (action: Parameters<typeof planAction>[0], over: Partial<ActionSelection> = {}) =>
    planAction(action, host.state('shop'), { ...ACTION, ...over })
  assert.is(
    text(act('stop')),
    lines(
      'container.stop:service/web/1 (asked for: stop)',
      'container.stop:service/api/1 (asked for: stop) < container.stop:service/web/1',
      'container.stop:service/db/1 (asked for: stop) < container.stop:service/api/1',
    ),
  )
  assert.is(
    text(act('restart', { services: ['db'] })),
    lines(
      'container.stop:service/api/1 (because of db)',
      'container.stop:service/db/1 (asked for: restart) < container.stop:service/api/1',
      'container.start:service/db/1 (asked for: restart) < container.stop:service/db/1',
      'container.start:service/api/1 (because of db) < container.start:service/db/1 container.stop:service/api/1',
    ),
  )
  assert.is(
    brief(act('kill', { services: ['web'] })),
    lines('container.kill:service/web/1 (asked for: kill)'),
  )
  assert.is(
    brief(act('pause', { services: ['web'] })),
    lines('container.pause:service/web/1 (asked for: pause)'),
  )
  assert.is(brief(act('unpause')), '')
  assert.is(brief(act('rm')), '')
  assert.is(
    text(act('rm', { services: ['web'], force: true })),
    lines(
      'container.stop:service/web/1 (asked for: rm)',
      'container.remove:service/web/1 (asked for: rm) < container.stop:service/web/1',
    ),
  )
  await run(act('stop'))
  assert.is(
    text(act('start')),
    lines(
      'container.start:service/db/1 (asked for: start)',
      'container.start:service/api/1 (asked for: start) < container.start:service/db/1',
      'container.start:service/web/1 (asked for: start) < container.start:service/api/1',
    ),
  )
  assert.is(
    brief(act('rm', { services: ['web'] })),
    lines('container.remove:service/web/1 (asked for: rm)'),
  )
  assert.is(brief(act('stop')), '')
})

test('what a user stopped stays stopped, until a user says up', async () => {
  const { host, planOf, up, run } = world()
  await up(CHAIN())
  await run(planAction('stop', host.state('shop'), { ...ACTION, services: ['web'] }))
  assert.is(brief(await planOf(CHAIN(), { cause: 'loop' })), '')
  assert.is(brief(await planOf(CHAIN())), lines('container.start:service/web/1 (asked for: up)'))
})

test('stop ends what its policy is about to start again, though nobody has decided when', async () => {
  const { host, up } = world()
  await up(CHAIN())
  const state = host.state('shop')
  const ended = {
    state: 'stopped',
    exitCode: 3,
    oomKilled: false,
    startedAt: '2026-01-01T00:00:00Z',
    finishedAt: '2026-01-01T00:00:01Z',
    byUser: false,
    restartAt: null,
  } as const
  const stopOf = (status: ContainerStatus) => {
    const containers = state.containers.map((one) =>
      one.service === 'web' ? { ...one, status } : one,
    )
    return brief(planAction('stop', { ...state, containers }, { ...ACTION, services: ['web'] }))
  }
  assert.is(stopOf(ended), '')
  for (const status of [
    { ...ended, restartAt: '2026-01-01T00:00:02Z' },
    { ...ended, undecided: true } as const,
  ]) {
    assert.is(stateWord(status), 'restarting')
    assert.is(stopOf(status), lines('container.stop:service/web/1 (asked for: stop)'))
  }
})

test('what is paused stays so over up, with a note, and is stopped like what runs', async () => {
  const { host, planOf, up, run } = world()
  await up(CHAIN())
  const web = { ...ACTION, services: ['web'] }
  await run(planAction('pause', host.state('shop'), web))
  assert.is(brief(planAction('pause', host.state('shop'), web)), '')
  const again = await planOf(CHAIN())
  assert.equal(again.steps, [])
  assert.equal(again.warnings, ['`shop-web-1` is paused; pak unpause web lets it go on'])
  assert.is(
    brief(planAction('stop', host.state('shop'), web)),
    lines('container.stop:service/web/1 (asked for: stop)'),
  )
  assert.is(
    brief(planAction('unpause', host.state('shop'), ACTION)),
    lines('container.unpause:service/web/1 (asked for: unpause)'),
  )
})

test.run()
