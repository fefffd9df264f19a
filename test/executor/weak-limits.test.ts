import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { weakLimits } from '../../src/executor/linux/limits.ts'
import { type IoLimit, NO_LIMITS } from '../../src/model/limits.ts'
import type { Step } from '../../src/model/plan.ts'

const NO_RATES = { readBps: null, writeBps: null, readIops: null, writeIops: null }

function step(io: readonly Partial<IoLimit>[]): Step {
  const limits = {
    ...NO_LIMITS,
    io: io.map((one) => ({ kind: 'path' as const, path: '/var', ...NO_RATES, ...one })),
  }
  return {
    id: 'project.update:project/shop',
    ...{ op: 'project.update', on: 'project/shop', needs: [], destroys: false },
    because: { kind: 'missing' },
    args: { limits },
  }
}

test('a speed of writing is told to hold for some writes only, where that is so', () => {
  const steps = [step([{ writeBps: 1 }, { writeIops: 1 }]), step([{ path: '/srv', readBps: 1 }])]
  const [said = '', ...more] = weakLimits({ version: 1 }, steps)
  assert.match(said, /on cgroup v1 a speed of writing to `\/var` holds for direct/)
  assert.equal(more, [])
  assert.equal(weakLimits({ version: 2 }, steps), [])
})

test.run()
