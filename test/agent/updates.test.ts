import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concluded, restored, standing, type Update } from '../../src/agent/updates.ts'
import { PakError } from '../../src/errors.ts'
import type { DesiredState, UpdatePolicy } from '../../src/model/desired.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import { PLAIN, plainService } from '../support/spec.ts'

const POLICY: UpdatePolicy = {
  parallelism: 1,
  delayMs: 0,
  monitorMs: 0,
  onFailure: 'rollback',
  maxFailureRatio: 0,
}
const version = (name: string, onFailure: UpdatePolicy['onFailure'] = 'rollback') =>
  plainService('web', { ...PLAIN, hostname: name }, { update: { ...POLICY, onFailure } })
const state = (name: string, onFailure?: UpdatePolicy['onFailure']): DesiredState => ({
  project: 'p',
  limits: NO_LIMITS,
  drift: 'repair',
  services: [version(name, onFailure)],
  networks: [],
  volumes: [],
})
const before = { service: version('old'), networks: [], volumes: [] }
const underWay = new Map<string, Update>([['web', { state: 'under way', before }]])
const time = '2026-01-01T00:00:00.000Z'
const result = (code: 'unhealthy' | 'cancelled' | null) => ({
  done: [],
  failed:
    code === null
      ? []
      : [{ id: 'service.wait:service/web/batch-1', error: new PakError(code, 'update: no') }],
  skipped: code === null ? [] : ['container.stop:service/web/2'],
})

test('what fails goes back, waits or goes on as its policy says', () => {
  for (const [onFailure, expected] of [
    ['rollback', 'rolling back'],
    ['pause', 'paused'],
    ['continue', 'under way'],
  ] as const) {
    const desired = state('new', onFailure)
    const { updates } = concluded(underWay, { desired, result: result('unhealthy'), time })
    assert.is(updates.get('web')?.state, expected)
    const wanted = restored(desired, updates).services[0]?.container.hostname
    assert.is(wanted, expected === 'rolling back' ? 'old' : 'new')
  }
})

test('what was interrupted is not a failure, and what was done is over', () => {
  const desired = state('new')
  const cut = concluded(underWay, { desired, result: result('cancelled'), time })
  assert.equal([...standing(cut.updates).updating], ['web'])
  const { updates, events } = concluded(underWay, { desired, result: result(null), time })
  assert.is(updates.get('web')?.state, 'done')
  assert.is(updates.get('web')?.before, before)
  assert.equal(
    events.map(({ type, on }) => [type, on]),
    [['update.completed', 'service/web']],
  )
})

test('a rollback that fails too is paused, and one that works cannot go back to what failed', () => {
  const back = new Map<string, Update>([['web', { state: 'rolling back', before }]])
  const desired = state('old')
  const failed = concluded(back, { desired, result: result('unhealthy'), time })
  assert.is(failed.updates.get('web')?.state, 'paused')
  const { updates } = concluded(back, { desired, result: result(null), time })
  assert.equal(updates.get('web'), { state: 'done', before: null })
})

test.run()
