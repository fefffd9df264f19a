import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { plan } from '../../src/plan/plan.ts'
import { reportedBy, tolerated } from '../../src/plan/tolerance.ts'
import { desired, OPTIONS, service, world } from './build.ts'

const SHOP = { project: 'shop' }
const LIMIT = 'memory.max was 2, should be 1'
const FILE = (drift: 'repair' | 'report' | 'off') => ({
  ...desired([
    service('a'),
    service('b', {}, { drift: 'repair' }),
    service('c', {}, { drift: 'report' }),
    service('d', {}, { drift: 'off' }),
  ]),
  drift,
})

test('a service’s word counts before the project’s', async () => {
  const { up, host } = world()
  await up(FILE('off'))
  assert.equal(Object.fromEntries(tolerated(FILE('off'), await host.inspect(SHOP))), {
    'project/shop': 'off',
    'network/default': 'off',
    'service/a/1': 'off',
    'service/c/1': 'report',
    'service/d/1': 'off',
  })
  assert.equal(
    [...tolerated(FILE('repair'), await host.inspect(SHOP)).keys()],
    ['service/c/1', 'service/d/1'],
  )
})

test('what is to be reported is what would be repaired there', async () => {
  const { up, host } = world()
  await up(FILE('repair'))
  const there = await host.inspect(SHOP)
  const drift = [{ of: 'limits' as const, fact: LIMIT }]
  const seen = { ...there, containers: there.containers.map((one) => ({ ...one, drift })) }
  const modes = tolerated(FILE('repair'), seen)
  const found = reportedBy(plan(FILE('repair'), seen, OPTIONS), modes)
  assert.equal(found, [{ on: 'service/c/1', because: { kind: 'drift', fact: LIMIT } }])
  const left = plan(FILE('repair'), seen, { ...OPTIONS, leave: new Set(modes.keys()) })
  assert.equal(
    left.steps.map(({ on }) => on),
    ['service/a/1', 'service/b/1'],
  )
})

test.run()
