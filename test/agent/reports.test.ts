import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Reports } from '../../src/agent/reports.ts'

const NOW = new Date('2026-01-01T00:00:00Z')
const found = (fact: string) => [
  { on: 'service/web/1' as const, because: { kind: 'drift' as const, fact } },
]

test('a fact is told once, another one and one that came back again', () => {
  const reports = new Reports()
  const news = (facts: ReturnType<typeof found>, project = 'shop') =>
    reports.news(project, facts, NOW).map(({ type, on }) => `${type} ${on}`)
  const told = ['drift.found service/web/1']
  assert.equal(news(found('x')), told)
  assert.equal(news(found('x')), [])
  assert.equal(news(found('x'), 'other'), told)
  assert.equal(news(found('y')), told)
  assert.equal(news([]), [])
  assert.equal(news(found('y')), told)
  reports.forget('shop')
  assert.equal(news(found('y')), told)
})

test.run()
