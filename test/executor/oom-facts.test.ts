import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { culpritOf } from '../../src/executor/linux/oom-facts.ts'

const kill = (usec: number, memcg: string, task: string) => ({
  usec,
  text: `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/pak,task_memcg=${memcg},task=${task},pid=77,uid=0`,
})

test('the newest kill in the container itself counts, and none from before its start', () => {
  const at = { cgroup: '/pak/shop/shop-db-1', sinceUsec: 1000 }
  const own = kill(2000, '/pak/shop/shop-db-1', 'dd')
  const sibling = kill(3000, '/pak/shop/shop-db-10', 'sh')
  assert.equal(culpritOf([own, sibling], at), { name: 'dd', pid: 77 })
  assert.equal(culpritOf([kill(2000, '/pak/shop/shop-db-1/child', 'dd')], at)?.name, 'dd')
  assert.is(culpritOf([kill(999, '/pak/shop/shop-db-1', 'dd'), sibling], at), null)
  assert.is(culpritOf([], at), null)
})

test('a name that imitates the line changes neither pid nor container', () => {
  const at = { cgroup: '/pak/shop/shop-db-1', sinceUsec: 0 }
  const sly = kill(1, '/pak/shop/shop-db-1', 'a,pid=1,uid=0')
  assert.equal(culpritOf([sly], at), { name: 'a,pid=1,uid=0', pid: 77 })
})

test.run()
