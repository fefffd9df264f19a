import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { afterCheck, type HealthState, NEW_HEALTH, nextCheckMs } from '../../src/agent/health.ts'
import { Prober } from '../../src/agent/prober.ts'
import { checkCommand } from '../../src/executor/linux/probe.ts'
import type { Healthcheck } from '../../src/model/desired.ts'
import type { ObservedState } from '../../src/model/observed.ts'
import { eventually } from '../support/eventually.ts'
import { SPEC } from './parts.ts'

const START = Date.parse('2026-01-01T00:00:00Z')
/** When the container of these tests was started. */
const RAN = '2026-01-01T00:00:00Z'
const CHECK: Healthcheck = {
  test: { kind: 'exec', command: ['true'] },
  intervalMs: 30_000,
  timeoutMs: 30_000,
  startPeriodMs: 10_000,
  startIntervalMs: 5_000,
  retries: 3,
  onUnhealthy: 'none',
}

function checks(...results: readonly (readonly [atMs: number, exitCode: number])[]): HealthState {
  const run = { check: CHECK, startedAt: new Date(START).toISOString() }
  return results.reduce<HealthState>((state, [atMs, exitCode]) => {
    const startedAt = new Date(START + atMs).toISOString()
    return afterCheck(state, { startedAt, finishedAt: startedAt, exitCode, output: 'x' }, run)
  }, NEW_HEALTH)
}

test('one success is healthy at once', () => {
  assert.is(checks([1_000, 0]).status, 'healthy')
})

test('failures within the start period do not count', () => {
  const state = checks([1_000, 1], [5_000, 1], [9_000, 1], [9_500, 1])
  assert.is(state.status, 'starting')
  assert.is(state.failingStreak, 0)
})

test('the first success ends the start period', () => {
  assert.is(checks([1_000, 0], [2_000, 1], [3_000, 1], [4_000, 1]).status, 'unhealthy')
})

test('three failures in a row are unhealthy, and one success heals', () => {
  assert.is(checks([20_000, 1], [50_000, 1]).status, 'starting')
  assert.is(checks([20_000, 1], [50_000, 1], [80_000, -1]).status, 'unhealthy')
  assert.is(checks([20_000, 1], [50_000, 1], [80_000, 1], [110_000, 0]).status, 'healthy')
  assert.is(checks([1, 0], [20_000, 1], [50_000, 1], [80_000, 0], [90_000, 1]).status, 'healthy')
})

test('the last five results are kept, of each at most 4096 bytes', () => {
  const run = { check: CHECK, startedAt: new Date(START).toISOString() }
  let state = NEW_HEALTH
  for (let index = 0; index < 7; index += 1) {
    const time = new Date(START + index).toISOString()
    const result = { startedAt: time, finishedAt: time, exitCode: 0, output: 'ä'.repeat(5_000) }
    state = afterCheck(state, result, run)
  }
  assert.is(state.results.length, 5)
  assert.is(state.results[0]?.startedAt, new Date(START + 2).toISOString())
  assert.ok(state.results.every(({ output }) => Buffer.byteLength(output) <= 4096))
  assert.not(state.results[0]?.output.includes('\uFFFD'))
})

test('what a check says is kept without what would steer a terminal', () => {
  const run = { check: CHECK, startedAt: new Date(START).toISOString() }
  const output = 'a\u001b[31m red\u001b[0m\r\n\tb\u0007\u009b1mc\u202ed'
  const result = { startedAt: RAN, finishedAt: RAN, exitCode: 1, output }
  const [kept] = afterCheck(NEW_HEALTH, result, run).results
  assert.is(kept?.output, 'a red\n\tb\ufffd\ufffd1mc\ufffdd')
})

test('health is that of one run: a container that was started again is looked at anew', async () => {
  const prober = new Prober({
    probe: async () => ({ exitCode: 1, output: 'no' }),
    now: () => new Date(),
    onChange: () => {},
  })
  using _ = prober
  prober.sync(running())
  await eventually('unhealthy', () => prober.healthOf('id', RAN) === 'unhealthy', { everyMs: 5 })
  assert.is(prober.healthOf('id', '2026-01-01T00:00:01Z'), null)
})

test('checks are more frequent within the start period, until the first success', () => {
  assert.is(nextCheckMs(NEW_HEALTH, CHECK, 1_000), 5_000)
  assert.is(nextCheckMs(NEW_HEALTH, CHECK, 10_000), 30_000)
  assert.is(nextCheckMs(checks([1_000, 0]), CHECK, 2_000), 30_000)
})

test('a shell check is run by the shell of the container', () => {
  const shell = { kind: 'shell', command: ['exit 1 || true'] } as const
  assert.equal(checkCommand(shell), ['/bin/sh', '-c', 'exit 1 || true'])
  assert.equal(checkCommand({ kind: 'exec', command: ['true'] }), ['true'])
})

test('a prober checks what runs, tells changes, goes on where another ended', async () => {
  const changes: string[] = []
  let exitCode = 0
  const prober = new Prober({
    probe: async () => ({ exitCode, output: '' }),
    now: () => new Date(),
    onChange: ({ on, health }) => changes.push(`${on} ${health}`),
  })
  using _ = prober
  prober.sync(running())
  assert.is(prober.healthOf('id', RAN), 'starting')
  await eventually('healthy', () => prober.healthOf('id', RAN) === 'healthy', { everyMs: 5 })
  exitCode = 1
  await eventually('unhealthy', () => prober.healthOf('id', RAN) === 'unhealthy', { everyMs: 5 })
  assert.equal(changes, ['service/web/1 healthy', 'service/web/1 unhealthy'])
  const successor = new Prober({
    probe: async () => ({ exitCode: 0, output: '' }),
    now: () => new Date(),
    onChange: () => {},
  })
  using _other = successor
  successor.restore(prober.snapshot())
  successor.sync(running())
  assert.is(successor.healthOf('id', RAN), 'unhealthy')
  prober.sync({ ...running(), containers: [] })
  assert.is(prober.healthOf('id', RAN), null)
})

test('a probe that rejects, or never ends, is a failure', async () => {
  const prober = new Prober({
    probe: ({ test }) => {
      if (test.kind === 'exec') return Promise.reject(new Error('no end after 10 ms'))
      return new Promise(() => {})
    },
    now: () => new Date(),
    onChange: () => {},
  })
  using _ = prober
  prober.sync(running())
  await eventually('unhealthy', () => prober.healthOf('id', RAN) === 'unhealthy', { everyMs: 5 })
  assert.is(prober.detailsOf('id')?.results[0]?.exitCode, -1)
  assert.match(prober.detailsOf('id')?.results[0]?.output ?? '', 'no end')
})

function running(): ObservedState {
  const healthcheck = { ...CHECK, intervalMs: 5, startPeriodMs: 0, timeoutMs: 10, retries: 2 }
  return {
    project: 'shop',
    record: null,
    containers: [
      {
        name: 'shop-web-1',
        id: 'id',
        service: 'web',
        replica: 1,
        spec: { ...SPEC, healthcheck },
        dependsOn: [],
        imageDigest: null,
        status: {
          state: 'running',
          pid: 2,
          startedAt: '2026-01-01T00:00:00Z',
          health: null,
        },
        restartCount: 0,
        createdAt: '2026-01-01T00:00:00Z',
        addresses: {},
        drift: [],
      },
    ],
    networks: [],
    volumes: [],
    firewall: { networks: [], published: [], services: [], closed: [] },
    images: {},
  }
}

test.run()
