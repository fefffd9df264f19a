import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Healthcheck, Hook } from '../../src/model/desired.ts'
import { plan } from '../../src/plan/plan.ts'
import { renderPlan } from '../../src/plan/render.ts'
import { brief, desired, HEALTH, lines, OPTIONS, on, one, service, world } from './build.ts'

const checked = (onUnhealthy: Healthcheck['onUnhealthy']): Healthcheck | null =>
  HEALTH && { ...HEALTH, onUnhealthy }

const HOOK: Hook = {
  command: ['true'],
  user: null,
  workingDir: null,
  privileged: false,
  environment: {},
}

test('what is unhealthy is restarted, stopped or left alone, as the file says', async () => {
  const { planOf, up } = world({ health: () => 'unhealthy' })
  const project = desired([
    service('left', { healthcheck: checked('none') }),
    service('other'),
    service('restarted', { healthcheck: checked('restart') }),
    service('stopped', {
      healthcheck: checked('stop'),
      restart: { name: 'always', maxRetries: null },
    }),
  ])
  await up(project)
  for (const cause of ['loop', 'user'] as const)
    assert.is(
      brief(await planOf(project, { cause })),
      lines(
        'container.stop:service/restarted/1 (unhealthy)',
        'container.stop:service/stopped/1 (unhealthy)',
        'container.start:service/restarted/1 (unhealthy)',
      ),
    )
  const stops = (await planOf(project)).steps.flatMap((step) =>
    step.op === 'container.stop' ? [step.args] : [],
  )
  assert.equal(
    stops.map(({ byUser, thenStart = false }) => ({ byUser, thenStart })),
    [
      { byUser: false, thenStart: true },
      { byUser: true, thenStart: false },
    ],
  )
})

test('what was stopped for its health stays so until a user says up', async () => {
  let health: 'healthy' | 'unhealthy' = 'unhealthy'
  const { planOf, up } = world({ health: () => health })
  const project = one({
    healthcheck: checked('stop'),
    restart: { name: 'always', maxRetries: null },
  })
  await up(project)
  await up(project, { cause: 'loop' })
  health = 'healthy'
  assert.is(brief(await planOf(project, { cause: 'loop' })), '')
  assert.is(brief(await planOf(project)), 'container.start:service/web/1 (asked for: up)')
})

test('a start that fails after its stop is due again for the loop', async () => {
  let health: 'healthy' | 'unhealthy' = 'unhealthy'
  const { host, planOf, run, up } = world({ health: () => health })
  const project = one({ healthcheck: checked('restart') })
  await up(project)
  const planned = await planOf(project, { cause: 'loop' })
  await run({ ...planned, steps: planned.steps.filter(({ op }) => op === 'container.stop') })
  health = 'healthy'
  const again = await planOf(project, { cause: 'loop', now: '2100-01-01T00:00:00.000Z' })
  assert.is(brief(again), 'container.start:service/web/1 (exited with 143)')
  await run(again)
  assert.is(host.state('shop').containers[0]?.restartCount, 0)
})

test('dependants that asked for it follow one that is restarted for its health', async () => {
  const { planOf, up } = world({ health: () => 'unhealthy' })
  const project = desired([
    service('db', { healthcheck: checked('restart') }),
    service('web', {}, { dependsOn: [on('db', { restart: true })] }),
  ])
  await up(project)
  assert.is(
    brief(await planOf(project, { cause: 'loop' })),
    lines(
      'container.stop:service/web/1 (because of db)',
      'container.stop:service/db/1 (unhealthy)',
      'container.start:service/db/1 (unhealthy)',
      'container.start:service/web/1 (because of db)',
    ),
  )
})

test('hooks are part of a start, and are changed in place', async () => {
  const { planOf, up } = world()
  const project = one({ postStart: [HOOK] })
  const planned = await planOf(project)
  const start = planned.steps.find(({ op }) => op === 'container.start')
  assert.equal(start?.args, { container: 'shop-web-1', hooks: 1 })
  assert.match(renderPlan(planned), 'service/web/1  create, then its post_start hook: missing')
  await up(project)
  assert.is(
    brief(await planOf(one({ postStart: [], preStop: [HOOK] }))).replace(/ \(.*/, ''),
    'container.update:service/web/1',
  )
})

test('a start that was cut short before its hooks were done is finished', async () => {
  const { host, up } = world()
  const project = one({ postStart: [HOOK] })
  await up(project)
  const observed = host.state('shop')
  const containers = observed.containers.map((there) => ({ ...there, unfinished: true }))
  for (const cause of ['loop', 'user'] as const)
    assert.is(
      brief(plan(project, { ...observed, containers }, { ...OPTIONS, cause })),
      'container.start:service/web/1 (missing)',
    )
})

test('a start that has failed waits, and with it what depends on it; nobody else does', async () => {
  const { host, planOf, run } = world()
  const project = desired([
    service('app', {}, { dependsOn: [on('db')] }),
    service('db'),
    service('other'),
  ])
  const planned = await planOf(project)
  await run({ ...planned, steps: planned.steps.filter(({ op }) => op !== 'container.start') })
  const hold = new Set(['service/db/1'] as const)
  assert.is(
    brief(await planOf(project, { cause: 'loop', hold })),
    'container.start:service/other/1 (missing)',
  )
  await run(await planOf(project, { cause: 'loop' }))
  host.meddle('shop', 'shop-db-1', { of: 'mounts', fact: 'a mount is gone' })
  assert.is(
    brief(await planOf(project, { cause: 'loop', hold })),
    lines(
      'container.stop:service/db/1 (drift: a mount is gone)',
      'container.start:service/db/1 (drift: a mount is gone)',
    ),
  )
})

test.run()
