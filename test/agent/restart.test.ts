import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decideRestart, type EndedRunFacts } from '../../src/agent/restart.ts'

const START = '2026-01-01T00:00:00.000Z'
const after = (ms: number): string => new Date(Date.parse(START) + ms).toISOString()

function ended(overrides: Partial<EndedRunFacts>): EndedRunFacts {
  return {
    policy: { name: 'always', maxRetries: null },
    exitCode: 1,
    startedAt: START,
    finishedAt: after(1000),
    restartCount: 0,
    lastDelayMs: null,
    ...overrides,
  }
}

test('a first failure waits 100 ms', () => {
  assert.equal(decideRestart(ended({})), { delayMs: 100, restartAt: after(1100) })
})

test('the delay doubles up to a minute', () => {
  const delays: number[] = []
  let lastDelayMs: number | null = null
  for (let run = 0; run < 12; run += 1) {
    lastDelayMs = decideRestart(ended({ lastDelayMs }))?.delayMs ?? null
    delays.push(lastDelayMs ?? -1)
  }
  assert.equal(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000])
})

test('a run of ten seconds starts the delay over', () => {
  const long = ended({ lastDelayMs: 25_600, finishedAt: after(10_000) })
  assert.is(decideRestart(long)?.delayMs, 100)
  const short = ended({ lastDelayMs: 25_600, finishedAt: after(9_999) })
  assert.is(decideRestart(short)?.delayMs, 51_200)
})

test('a clock that was set back makes no long run', () => {
  assert.is(decideRestart(ended({ lastDelayMs: 400, finishedAt: after(-60_000) }))?.delayMs, 800)
})

test('no policy, no restart', () => {
  assert.is(decideRestart(ended({ policy: { name: 'no', maxRetries: null } })), null)
})

test('always and unless-stopped restart a success, on-failure does not', () => {
  const verdict = (name: EndedRunFacts['policy']['name']) =>
    decideRestart(ended({ exitCode: 0, policy: { name, maxRetries: null } })) !== null
  assert.ok(verdict('always'))
  assert.ok(verdict('unless-stopped'))
  assert.not(verdict('on-failure'))
})

test('on-failure:3 gives up after three restarts', () => {
  const verdict = (restartCount: number) =>
    decideRestart(ended({ restartCount, policy: { name: 'on-failure', maxRetries: 3 } })) !== null
  assert.equal([0, 1, 2, 3, 4].map(verdict), [true, true, true, false, false])
})

test.run()
