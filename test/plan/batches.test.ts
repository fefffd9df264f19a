import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Service } from '../../src/model/desired.ts'
import type { Plan } from '../../src/model/plan.ts'
import { desired, HEALTH, OPTIONS, on, one, service, world } from './build.ts'

const POLICY = {
  order: 'stop-first',
  parallelism: 1,
  delayMs: 0,
  monitorMs: 0,
  onFailure: 'pause',
  maxFailureRatio: 0.34,
} as const
const THREE: Partial<Service> = { replicas: 3, update: POLICY }
const old = one({ healthcheck: HEALTH }, THREE)
const changed = one({ healthcheck: HEALTH, hostname: 'new' }, THREE)

test('each replica stops after the batch before has shown that it works', async () => {
  const { up, planOf } = world()
  await up(old)
  const { steps, warnings } = await planOf(changed)
  assert.equal(warnings, [])
  const find = (id: string) => steps.find((step) => step.id === id)
  for (const n of [2, 3]) {
    const needs = find(`container.stop:service/web/${n}`)?.needs ?? []
    const gate = needs.find((need) => need.endsWith(`service/web/batch-${n - 1}`)) ?? ''
    const waits = gate.startsWith('firewall.admit') ? (find(gate)?.needs ?? []) : [gate]
    assert.ok(waits.includes(`service.wait:service/web/batch-${n - 1}`), needs.join())
  }
  const last = find('service.wait:service/web/batch-3')
  if (last?.op !== 'service.wait') throw new Error('no third batch')
  assert.is(last.args.update?.tolerated, 1)
  assert.equal(last.args.update?.earlier, ['shop-web-1', 'shop-web-2'])
})

test('who is about to stop is not balanced to, and after it all nothing is left to do', async () => {
  const { up, planOf } = world()
  await up(old)
  await up(old)
  const { steps } = await planOf(changed)
  const admitted = steps.find(({ id }) => id === 'firewall.admit:service/web/batch-1')
  if (admitted?.op !== 'firewall.admit') throw new Error('nothing between the batches')
  const targets = admitted.args.services.flatMap((address) => address.targets)
  assert.equal(
    targets.map(({ container }) => container),
    ['shop-web-1', 'shop-web-3'],
  )
  await up(changed)
  // Health is told to the firewall by the next look.
  await up(changed)
  assert.equal((await planOf(changed)).steps, [])
})

test('what is left of the version before lives on as it is where the update is paused', async () => {
  const { host, up, planOf } = world()
  await up(old)
  await up(old)
  const paused = { paused: new Set(['web']), cause: 'loop' } as const
  assert.equal((await planOf(changed, paused)).steps, [])
  host.crash('shop', 'shop-web-2', { exitCode: 1, restartAt: OPTIONS.now })
  const { steps } = await planOf(changed, paused)
  assert.equal(
    steps.filter(({ op }) => op.startsWith('container.')).map(({ id }) => id),
    ['container.start:service/web/2'],
  )
})

test('an update that is taken up again waits for what it had begun; a third version begins with what does not work', async () => {
  const sick = new Set<string>()
  const health = ({ name }: { readonly name: string }) =>
    sick.has(name) ? ('unhealthy' as const) : ('healthy' as const)
  const { host, run, up, planOf } = world({ health })
  await up(old)
  await up(old)
  sick.add('shop-web-2')
  assert.is((await run(await planOf(changed))).failed.length, 1)
  const again = { updating: new Set(['web']), cause: 'loop' } as const
  const left = [['shop-web-2'], ['shop-web-3']]
  assert.equal(waitedFor(await planOf(changed, again)), left)
  const third = one({ healthcheck: HEALTH, hostname: 'third' }, THREE)
  const order = [['shop-web-2'], ['shop-web-1'], ['shop-web-3']]
  assert.equal(waitedFor(await planOf(third, again)), order)
  host.crash('shop', 'shop-web-2', { exitCode: 1 })
  assert.equal(waitedFor(await planOf(changed, again)), left)
})

test('who lives with the first replica is replaced with it, and who depends on them when all is done', async () => {
  const guest = service('guest', { networkMode: { kind: 'service', service: 'web' }, networks: [] })
  const app = (hostname: string) => service('app', { hostname }, { dependsOn: [on('web')] })
  const all = (hostname: string, order: 'stop-first' | 'start-first') => {
    const update = { ...POLICY, order }
    const web = service('web', { hostname, healthcheck: HEALTH }, { replicas: 2, update })
    return desired([app(hostname), guest, web])
  }
  for (const [order, first, end] of [
    ['stop-first', [], 'batch-2'],
    ['start-first', ['firewall.admit:service/web/batch-1'], 'batch-3'],
  ] as const) {
    const { up, planOf } = world()
    await up(all('old', order))
    await up(all('old', order))
    const planned = await planOf(all('new', order))
    assert.equal(planned.warnings, [])
    const needs = (id: string) => planned.steps.find((step) => step.id === id)?.needs ?? []
    assert.equal(needs('container.stop:service/guest/1'), first)
    assert.ok(needs('container.stop:service/web/1').includes('container.stop:service/guest/1'))
    assert.not(needs('container.stop:service/web/2').includes('container.stop:service/guest/1'))
    const starts = needs('container.start:service/guest/1')
    assert.equal(
      starts.filter((id) => id.startsWith('container.start')),
      ['container.start:service/web/1'],
    )
    assert.ok(reaches(planned, 'container.stop:service/app/1', `service.wait:service/web/${end}`))
    await up(all('new', order))
    await up(all('new', order))
    assert.equal((await planOf(all('new', order))).steps, [])
  }
})

test('a replica that lends nobody anything restarts alone', async () => {
  const guest = service(
    'guest',
    { networkMode: { kind: 'service', service: 'web' }, networks: [] },
    { dependsOn: [on('web', { restart: true })] },
  )
  const state = desired([guest, service('web', {}, { replicas: 2 })])
  const { host, up, planOf } = world()
  await up(state)
  for (const [replica, ids] of [
    [2, ['container.start:service/web/2']],
    [
      1,
      [
        'container.stop:service/guest/1',
        'container.start:service/web/1',
        'container.start:service/guest/1',
      ],
    ],
  ] as const) {
    host.crash('shop', `shop-web-${replica}`, { exitCode: 1, restartAt: OPTIONS.now })
    const { steps } = await planOf(state, { cause: 'loop' })
    assert.equal(
      steps.flatMap(({ id, op }) => (op.startsWith('container.') ? [id] : [])),
      ids,
    )
    await up(state, { cause: 'loop' })
  }
})

function reaches(planned: Plan, from: string, to: string): boolean {
  if (from === to) return true
  const needs = planned.steps.find(({ id }) => id === from)?.needs ?? []
  return needs.some((need) => reaches(planned, need, to))
}

const waitedFor = ({ steps }: Plan) =>
  steps.flatMap((step) => (step.op === 'service.wait' ? [step.args.containers] : []))

test.run()
