import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ExplainFacts, explain } from '../../src/agent/explain.ts'
import { plansOf } from '../../src/cli/commands/past.ts'
import { explanationText } from '../../src/cli/views/explain.ts'
import type { PakEvent } from '../../src/model/events.ts'
import type { ObservedContainer, ObservedState } from '../../src/model/observed.ts'
import type { ContainerStatus } from '../../src/model/status.ts'
import { project, SPEC, serviceOf } from './parts.ts'

const NOW = '2026-01-01T00:10:00.000Z'
const at = (second: number) => `2026-01-01T00:09:${String(second).padStart(2, '0')}.000Z`

const container = (service: string, status: ContainerStatus): ObservedContainer => ({
  name: `shop-${service}-1`,
  id: service,
  service,
  replica: 1,
  spec: SPEC,
  dependsOn: [],
  imageDigest: null,
  status,
  restartCount: 0,
  createdAt: at(0),
  addresses: {},
  drift: [],
})

const facts = (
  containers: readonly ObservedContainer[],
  events: readonly PakEvent[],
): ExplainFacts => ({
  project: 'shop',
  service: 'web',
  observed: { containers } as unknown as ObservedState,
  kept: {
    ...project('shop', []),
    services: [
      serviceOf('db'),
      serviceOf('web', {
        dependsOn: [
          { service: 'db', condition: 'service_healthy', required: true, restart: false },
        ],
      }),
    ],
  },
  events,
  healthOf: () => null,
})

const event = (second: number, type: string, because: PakEvent['because']): PakEvent => {
  return { time: at(second), project: 'shop', type, on: 'service/web/1', because }
}
const text = (given: ExplainFacts) => explanationText(explain(given), Date.parse(NOW))
const running = (health: 'starting' | null): ContainerStatus => {
  return { state: 'running', pid: 7, startedAt: at(50), health }
}

test('what runs tells since when and why, and not what it does not wait for any more', () => {
  const fields = [{ path: 'environment.A', from: '1', to: 'x\u001b[31m' }]
  const said = text(
    facts(
      [container('web', running(null)), container('db', running('starting'))],
      [
        event(1, 'container.created', { kind: 'changed', fields }),
        event(2, 'container.oom', {
          kind: 'oom',
          peakBytes: 67_108_864,
          limitBytes: 67_108_864,
          process: { name: 'dd\u0007', pid: 9 },
        }),
        event(2, 'container.exited', {
          kind: 'exited',
          exitCode: 137,
          oomKilled: true,
          ranMs: 1500,
        }),
        event(3, 'container.started', { kind: 'exited', exitCode: 137, oomKilled: true }),
        event(4, 'container.sickened', { kind: 'unhealthy', output: 'no\u001b[2Jroute\nat all' }),
      ],
    ),
  )
  assert.match(
    said,
    /^shop-web-1 runs; started 10 seconds ago \(exited with 137, out of memory\)\.\n/,
  )
  assert.match(said, 'environment.A: "1" -> ')
  assert.match(said, 'was killed by the kernel for memory (137) after 1.5 s')
  assert.match(said, 'dd\\u0007 (pid 9) was killed, peak 64 MiB of 64 MiB')
  assert.match(said, 'the last check said: noroute | at all')
  assert.not.match(said, 'depends on')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is there is the point.
  assert.not.match(said, /[\u0000-\u0009\u000b-\u001f]/)
})

test('what does not run says what it waits for, and who stopped it', () => {
  const created = container('web', { state: 'created' })
  assert.match(
    text(facts([created, container('db', running('starting'))], [])),
    'It depends on db (service_healthy), but shop-db-1 is running, starting.',
  )
  const stopped = { state: 'stopped', exitCode: 143, oomKilled: false, startedAt: at(0) } as const
  const ended = { ...stopped, finishedAt: at(40), byUser: true, restartAt: null }
  assert.match(
    text(facts([container('web', ended)], [])),
    'was stopped by a user 20 seconds ago; only a user starts it again.',
  )
  const crashed = { ...ended, byUser: false, restartAt: at(59) }
  assert.match(
    text(facts([container('web', crashed)], [])),
    `exited with 143 (SIGTERM) 20 seconds ago; its restart policy starts it again at ${at(59)}.`,
  )
  assert.match(text(facts([], [])), 'web has no container, though the last up asked for it.')
})

test('plans are told with their ends, and without where they have none', () => {
  const plan = (id: string) =>
    ({
      id,
      by: 'user',
      cause: 'up',
      steps: 1,
      changes: ['container.start:service/web/1'],
    }) as const
  const end = { id: 'a', ok: true, durationMs: 5, done: 1, skipped: 0, failed: [] }
  const about = { project: 'shop', on: 'project/shop', because: null } as const
  const events: readonly PakEvent[] = [
    { ...about, time: at(1), type: 'plan.began', plan: plan('a') },
    { ...about, time: at(2), type: 'plan.ended', plan: end },
    { ...about, time: at(3), type: 'plan.began', plan: plan('b') },
  ]
  const rows = plansOf(events, 'web')
  assert.equal(
    rows.map(({ result, durationMs }) => [result, durationMs]),
    [
      ['ok', 5],
      ['interrupted', null],
    ],
  )
  assert.equal(plansOf(events, 'we'), [])
})

test.run()
