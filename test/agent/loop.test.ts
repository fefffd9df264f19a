import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { keptAfterRemove, keptAfterUp } from '../../src/agent/kept.ts'
import { Loop, type Why } from '../../src/agent/loop.ts'
import { eventually } from '../support/eventually.ts'
import { project, serviceOf } from './parts.ts'

const GOOD = { ok: true, wakeAt: null }
const quiet = { onError: () => {} }

function gateway(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve: () => resolve() }
}

test('work on one project is done one after the other, in order; another does not wait', async () => {
  await using loop = new Loop({ ...quiet, pass: async () => GOOD })
  const order: string[] = []
  const gate = gateway()
  const first = loop.exclusive('a', async () => {
    await gate.promise
    order.push('a1')
  })
  const rest = Array.from({ length: 9 }, (_, index) =>
    loop.exclusive('a', async () => order.push(`a${index + 2}`)),
  )
  await loop.exclusive('b', async () => order.push('b'))
  gate.resolve()
  await Promise.all([first, ...rest])
  assert.is(order.join(' '), 'b a1 a2 a3 a4 a5 a6 a7 a8 a9 a10')
  assert.not(loop.busy)
})

test('a pass is told that an operation waits for it', async () => {
  let hurried = false
  await using loop = new Loop({
    ...quiet,
    pass: (_project, { hurry }) =>
      new Promise((resolve) => {
        hurry.addEventListener('abort', () => {
          hurried = true
          resolve(GOOD)
        })
        loop.exclusive('a', async () => 'done').then(() => {})
      }),
  })
  loop.enqueue('a', 'change')
  await eventually('the pass ends', () => hurried && !loop.busy, { everyMs: 2 })
})

test('an operation that fails does not stop the next', async () => {
  await using loop = new Loop({ ...quiet, pass: async () => GOOD })
  const failing = loop.exclusive('a', async () => {
    throw new Error('no')
  })
  const next = loop.exclusive('a', async () => 'yes')
  assert.is(await failing.catch(() => 'caught'), 'caught')
  assert.is(await next, 'yes')
})

test('changes that come together are one pass; one that comes during a pass is another', async () => {
  const causes: string[] = []
  const gate = gateway()
  await using loop = new Loop({
    ...quiet,
    pass: async (_, { cause }) => {
      causes.push(cause)
      if (causes.length === 1) await gate.promise
      return GOOD
    },
  })
  for (const cause of ['one', 'two', 'three']) loop.enqueue('a', cause)
  await eventually('the first pass', () => causes.length === 1, { everyMs: 2 })
  for (const cause of ['four', 'five']) loop.enqueue('a', cause)
  gate.resolve()
  await eventually('the second pass', () => causes.length === 2, { everyMs: 2 })
  await sleep(60)
  assert.equal(causes, ['one', 'four'])
})

/** A loop that writes down its passes. */
function recording(): { readonly loop: Loop; readonly seen: readonly string[] } {
  const seen: string[] = []
  const pass = async (project: string, { cause, onlyStatus }: Why) => {
    seen.push(`${project}: ${cause}${onlyStatus ? ', only the status' : ''}`)
    return GOOD
  }
  return { loop: new Loop({ ...quiet, pass }), seen }
}

test('the echo of an operation is not looked at at once, what ended during it is', async () => {
  const { loop: own, seen } = recording()
  await using loop = own
  const gate = gateway()
  const operation = loop.exclusive('a', () => gate.promise)
  loop.enqueue('a', 'table', 'echo')
  // By now the echo waits for its turn behind the operation.
  await sleep(20)
  gate.resolve()
  await operation
  await sleep(300)
  assert.equal(seen, [])
  loop.enqueue('a', 'end', 'status')
  await eventually('a pass', () => seen.length === 1, { everyMs: 2 })
  assert.equal(seen, ['a: end'])
})

test('what ends while an echo waits for its turn is not delayed with it', async () => {
  const { loop: own, seen } = recording()
  await using loop = own
  const gate = gateway()
  const operations = ['a', 'b'].map((name) => loop.exclusive(name, () => gate.promise))
  for (const name of ['a', 'b']) loop.enqueue(name, 'table', 'echo')
  await sleep(20)
  loop.enqueue('b', 'end')
  gate.resolve()
  await Promise.all(operations)
  await eventually('a pass for each', () => seen.length === 2, { everyMs: 2 })
  assert.equal(seen, ['b: end', 'a: table'])
})

test('only the status is looked at when all that is behind a pass is an end', async () => {
  const { loop: own, seen } = recording()
  await using loop = own
  loop.enqueue('a', 'end', 'status')
  loop.enqueue('a', 'another', 'status')
  loop.enqueue('b', 'end', 'status')
  loop.enqueue('b', 'drift', 'form')
  await eventually('a pass for each', () => seen.length === 2, { everyMs: 2 })
  assert.equal(seen, ['a: end, only the status', 'b: end'])
})

test('a pass that fails is tried again, later and later; a user wipes that', async () => {
  let passes = 0
  await using loop = new Loop({
    onError: () => {},
    pass: async () => {
      passes += 1
      if (passes < 3) throw new Error('no')
      return GOOD
    },
  })
  loop.enqueue('a', 'change')
  await eventually('a first pass', () => passes === 1, { everyMs: 2 })
  loop.enqueue('a', 'change')
  await sleep(100)
  assert.is(passes, 1)
  await eventually('a third pass', () => passes === 3)
})

test('a pass wakes itself when a restart is due', async () => {
  let passes = 0
  await using loop = new Loop({
    ...quiet,
    pass: async () => {
      passes += 1
      return { ok: true, wakeAt: passes === 1 ? new Date(Date.now() + 30) : null }
    },
  })
  loop.enqueue('a', 'change')
  await eventually('a second pass', () => passes === 2, { everyMs: 5 })
})

test('what is kept: all after a whole up, only the selected after a partial one', () => {
  const file = {
    ...project('shop', []),
    services: [
      serviceOf('db'),
      serviceOf('job'),
      serviceOf('web', {
        dependsOn: [
          { service: 'db', condition: 'service_started', required: true, restart: false },
        ],
      }),
    ],
  }
  const names = (state: { services: readonly { name: string }[] }) =>
    state.services.map(({ name }) => name)
  assert.equal(names(keptAfterUp(null, file, { services: null, noDeps: false })), [
    'db',
    'job',
    'web',
  ])
  assert.equal(names(keptAfterUp(null, file, { services: ['web'], noDeps: false })), ['db', 'web'])
  assert.equal(names(keptAfterUp(null, file, { services: ['web'], noDeps: true })), ['web'])
  const before = keptAfterUp(null, file, { services: ['job'], noDeps: false })
  const both = keptAfterUp(before, file, { services: ['web'], noDeps: false })
  assert.equal(names(both), ['db', 'job', 'web'])
  assert.equal(names(keptAfterRemove(both, ['job'])), ['db', 'web'])
  assert.equal(names(keptAfterRemove(both, [])), [])
})

test('what is kept of a service that was not selected is what it was brought up with', () => {
  const old = project('shop', ['a', 'b'])
  const changed = {
    ...old,
    services: [serviceOf('a', { replicas: 2 }), serviceOf('b', { replicas: 2 })],
  }
  const kept = keptAfterUp(old, changed, { services: ['b'], noDeps: false })
  assert.equal(
    kept.services.map(({ replicas }) => replicas),
    [1, 2],
  )
})

test.run()
