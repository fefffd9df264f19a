import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FailedStarts } from '../../src/agent/failed-starts.ts'
import { PakError } from '../../src/errors.ts'
import type { ApplyResult } from '../../src/executor/apply.ts'
import { desired, on, service, world } from '../plan/build.ts'

const START = Date.parse('2026-01-01T00:00:00Z')
const at = (ms: number) => new Date(START + ms)
const NOTHING: ApplyResult = { done: [], failed: [], skipped: [] }
const failure = (id: string) => ({ id, error: new PakError('hook', id) })

async function planned() {
  const app = service('app', {}, { dependsOn: [on('db')] })
  return world().planOf(desired([app, service('db')]))
}

test('a start that fails is due later and later, up to a minute; one that is done is forgotten', async () => {
  const starts = new FailedStarts()
  const plan = await planned()
  const failed = [failure('container.start:service/db/1')]
  const result = { ...NOTHING, failed, skipped: ['container.start:service/app/1'] }
  assert.ok(starts.count(plan, result, at(0)))
  assert.equal([...starts.hold('shop', at(499))].sort(), ['service/app/1', 'service/db/1'])
  assert.is(starts.dueAt('shop', at(0))?.getTime(), START + 500)
  assert.is(starts.hold('shop', at(500)).size, 0)
  assert.ok(starts.count(plan, result, at(500)))
  assert.is(starts.dueAt('shop', at(500))?.getTime(), START + 1500)
  for (let time = 0; time < 20; time += 1) starts.count(plan, result, at(10_000))
  assert.is(starts.dueAt('shop', at(10_000))?.getTime(), START + 70_000)
  assert.is(starts.hold('other', at(10_000)).size, 0)
  starts.count(plan, { ...NOTHING, done: plan.steps.map(({ id }) => id) }, at(10_000))
  assert.is(starts.dueAt('shop', at(10_000)), null)
})

test('a clock that was set back holds up no start', async () => {
  const starts = new FailedStarts()
  const plan = await planned()
  starts.count(plan, { ...NOTHING, failed: [failure('container.start:service/db/1')] }, at(0))
  assert.ok(starts.hold('shop', at(0)).size > 0)
  assert.is(starts.hold('shop', at(-3_600_000)).size, 0)
  assert.is(starts.dueAt('shop', at(-3_600_000)), null)
})

test('what is no start is not for it', async () => {
  const starts = new FailedStarts()
  const failed = [failure('network.create:network/default')]
  assert.not(starts.count(await planned(), { ...NOTHING, failed }, at(0)))
  assert.is(starts.hold('shop', at(0)).size, 0)
})

test.run()
