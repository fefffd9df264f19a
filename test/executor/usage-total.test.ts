import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NOTHING, percent, rounded, serviceRow } from '../../src/executor/linux/usage-total.ts'
import type { Usage, UsageRow } from '../../src/model/usage.ts'

const row = (usage: Partial<Usage>): UsageRow => ({
  ...NOTHING,
  ...usage,
  scope: 'container',
  project: 'shop',
  service: 'web',
  container: 'shop-web-1',
  id: 'a',
  state: 'running',
  execs: [],
})

test('a total adds up what runs', () => {
  const ended = { ...row({}), state: 'stopped' as const }
  const total = serviceRow([
    row({ pids: 2, cpuPercent: 12.3, memoryBytes: 5, memoryLimitBytes: 10, cpuPressurePercent: 3 }),
    row({ pids: 1, cpuPercent: 0.4, memoryBytes: 6, memoryLimitBytes: 10, cpuPressurePercent: 9 }),
    ended,
  ])
  assert.equal(
    [total.scope, total.service, total.container, total.pids, total.cpuPercent, total.memoryBytes],
    ['service', 'web', null, 3, 12.7, 11],
  )
  assert.is(total.memoryLimitBytes, 20)
  assert.is(total.cpuPressurePercent, 9)
  assert.is(total.netRxBytes, null)
})

test('one without a limit takes the limit off the total; of nothing nothing is known', () => {
  const total = serviceRow([row({ pids: 1, memoryLimitBytes: 10 }), row({ pids: 1 })])
  assert.is(total.memoryLimitBytes, null)
  assert.is(serviceRow([row({})]).pids, null)
})

test('a CPU for a whole second is 100 percent', () => {
  assert.is(percent(1_000_000, 1000), 100)
  assert.is(percent(5, 0), 0)
  assert.is(rounded(24.996), 25)
})

test.run()
