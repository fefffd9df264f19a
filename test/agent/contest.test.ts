import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Contest } from '../../src/agent/contest.ts'
import { one, world } from '../plan/build.ts'

const at = (seconds: number) => new Date(seconds * 1000)
const FACT = 'memory.max was 1, should be 2'

test('five repairs within a minute, then one event and a minute of leaving it alone', async () => {
  const { host, planOf, up } = world()
  await up(one())
  const contest = new Contest()
  const told: string[] = []
  for (let second = 0; second < 120; second += 2) {
    host.meddle('shop', 'shop-web-1', { of: 'limits', fact: FACT })
    const leave = contest.leave('shop', at(second))
    const planned = await planOf(one(), { cause: 'loop', leave })
    if (planned.steps.length > 0) await up(one(), { cause: 'loop' })
    const events = contest.count(planned, at(second))
    told.push(...events.map(({ type, on }) => `${second} ${type} ${on}`))
  }
  assert.equal(told, ['8 drift.left service/web/1', '76 drift.left service/web/1'])
})

test('repairs now and then go on for ever, and a user wipes what was counted', async () => {
  const { host, planOf, up } = world()
  await up(one())
  host.meddle('shop', 'shop-web-1', { of: 'limits', fact: FACT })
  const planned = await planOf(one(), { cause: 'loop' })
  const contest = new Contest()
  for (let second = 0; second < 600; second += 20)
    assert.equal(contest.count(planned, at(second)), [])
  for (let turn = 0; turn < 8; turn++) contest.count(planned, at(1000))
  assert.ok(contest.leave('shop', at(1000)).has('service/web/1'))
  assert.is(contest.leave('blog', at(1000)).size, 0)
  assert.is(contest.dueAt('shop'), 1060_000)
  assert.is(contest.dueAt('blog'), null)
  contest.forget('shop')
  assert.is(contest.leave('shop', at(1000)).size, 0)
  assert.is(contest.dueAt('shop'), null)
})

test('a clock that was set back leaves nothing alone for longer', async () => {
  const { host, planOf, up } = world()
  await up(one())
  host.meddle('shop', 'shop-web-1', { of: 'limits', fact: FACT })
  const planned = await planOf(one(), { cause: 'loop' })
  const contest = new Contest()
  for (let turn = 0; turn < 5; turn++) contest.count(planned, at(100_000))
  assert.is(contest.leave('shop', at(100_001)).size, 1)
  assert.is(contest.leave('shop', at(1)).size, 0)
  for (let turn = 0; turn < 4; turn++) assert.equal(contest.count(planned, at(1)), [])
})

test.run()
