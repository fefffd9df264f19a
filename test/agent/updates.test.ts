import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { begun, concluded, restored, standing, type Update } from '../../src/agent/updates.ts'
import { PakError } from '../../src/errors.ts'
import type { DesiredState, UpdatePolicy } from '../../src/model/desired.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import type { ObservedContainer, ObservedState } from '../../src/model/observed.ts'
import type { Plan } from '../../src/model/plan.ts'
import { PLAIN, plainService } from '../support/spec.ts'

const POLICY: UpdatePolicy = {
  order: 'stop-first',
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

const NOTHING: ObservedState = {
  project: 'p',
  record: null,
  containers: [],
  networks: [],
  volumes: [],
  firewall: { networks: [], published: [], services: [], closed: [] },
  images: {},
}
const RUNNING: ObservedContainer = {
  name: 'p-web-1',
  id: '0',
  service: 'web',
  replica: 1,
  spec: version('old').container,
  dependsOn: [],
  imageDigest: null,
  status: { state: 'running', pid: 1, startedAt: time, health: null },
  restartCount: 0,
  createdAt: time,
  addresses: {},
  drift: [],
}
const MORE: Plan = {
  project: 'p',
  steps: [
    {
      id: 'container.create:service/web/2',
      op: 'container.create',
      on: 'service/web/2',
      because: { kind: 'missing' },
      needs: [],
      destroys: false,
      args: {
        container: 'p-web-2',
        service: 'web',
        replica: 2,
        spec: RUNNING.spec,
        dependsOn: [],
        imageDigest: null,
      },
    },
  ],
  summary: { create: 1, update: 0, recreate: 0, remove: 0, start: 0, stop: 0 },
  warnings: [],
}

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

test('a plan for other services says nothing of an update', () => {
  const scope = new Set(['other'])
  const at = { desired: state('new'), result: result(null), time, scope }
  assert.equal(concluded(underWay, at).updates, underWay)
})

test('another number of replicas is no version, and stays when one goes back', () => {
  const scaled = { ...state('old'), services: [{ ...version('old'), replicas: 5 }] }
  const observed = { ...NOTHING, containers: [RUNNING] }
  assert.is(begun(new Map(), MORE, { kept: state('old'), desired: scaled, observed }).size, 0)
  const back = restored(scaled, new Map([['web', { state: 'rolling back', before }]]))
  assert.is(back.services[0]?.replicas, 5)
  const named = { ...before, service: { ...before.service, containerName: 'mine' } }
  const single = restored(scaled, new Map([['web', { state: 'rolling back', before: named }]]))
  assert.is(single.services[0]?.replicas, 1)
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
