import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Service } from '../../src/model/desired.ts'
import { HEALTH, one, world } from './build.ts'

const POLICY = {
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

test('what still runs of the version before stays where the update is paused', async () => {
  const { up, planOf } = world()
  await up(old)
  await up(old)
  const planned = await planOf(changed, { paused: new Set(['web']) })
  assert.equal(planned.steps, [])
})

test.run()
