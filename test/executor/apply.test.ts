import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { apply } from '../../src/executor/apply.ts'
import type { Executor, RunContext, StepOutcome } from '../../src/executor/executor.ts'
import { memoryExecutor } from '../../src/executor/memory/memory.ts'
import type { ApplyEvent } from '../../src/model/events.ts'
import type { Op, Plan, Step, StepOf } from '../../src/model/plan.ts'

test('ready steps of one op are one batch, different ops run side by side', async () => {
  const { executor, batches } = recorder()
  await applied(
    planOf(
      create('a'),
      create('b'),
      net('n'),
      start('a', ['container.create:service/a/1']),
      start('b', ['container.create:service/b/1']),
    ),
    executor,
  )
  assert.equal(batches, [
    'container.create service/a/1 service/b/1',
    'network.create network/n',
    'container.start service/a/1 service/b/1',
  ])
})

test('each wait is a batch of its own', async () => {
  const { executor, batches } = recorder()
  await applied(planOf(wait('a'), wait('b')), executor)
  assert.equal(batches, ['service.wait service/a', 'service.wait service/b'])
})

test('what fails takes its dependants with it, and nothing else', async () => {
  const error = new PakError('storage', 'create, `a`: no space')
  const { executor } = recorder({ 'container.create:service/a/1': error })
  const events: ApplyEvent[] = []
  const result = await applied(
    planOf(
      create('a'),
      create('b'),
      start('a', ['container.create:service/a/1']),
      wait('a', ['container.start:service/a/1']),
      start('b', ['container.create:service/b/1']),
    ),
    executor,
    events,
  )
  assert.equal(result, {
    done: ['container.create:service/b/1', 'container.start:service/b/1'],
    failed: [{ id: 'container.create:service/a/1', error }],
    skipped: ['container.start:service/a/1', 'service.wait:service/a'],
  })
  assert.equal(
    events.map((event) => `${event.type} ${event.id}`),
    [
      'started container.create:service/a/1',
      'started container.create:service/b/1',
      'failed container.create:service/a/1',
      'skipped container.start:service/a/1',
      'skipped service.wait:service/a',
      'done container.create:service/b/1',
      'started container.start:service/b/1',
      'done container.start:service/b/1',
    ],
  )
})

test('a shortage of the machine is told as one, and is no bug', async () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, open'), {
    code: 'ENOSPC',
    syscall: 'open',
    path: '/state/x',
  })
  const executor: Executor = { ...memoryExecutor(), run: () => Promise.reject(full) }
  const { failed } = await apply(planOf(create('a')), executor, {
    signal: new AbortController().signal,
    concurrency: 1,
    onEvent: () => {},
  })
  assert.equal(
    failed.map(({ error }) => [error.code, error.message]),
    [['storage', 'open `/state/x`: no space left on the device']],
  )
})

test('durations come from the clock that is given', async () => {
  const events: ApplyEvent[] = []
  let now = 0
  await apply(planOf(create('a')), recorder().executor, {
    signal: new AbortController().signal,
    concurrency: 1,
    onEvent: (event) => events.push(event),
    clock: () => (now += 7),
  })
  assert.equal(events.at(-1), { type: 'done', id: 'container.create:service/a/1', durationMs: 7 })
})

test('an abort ends what is under way and skips the rest', async () => {
  const abort = new AbortController()
  const executor: Executor = {
    ...memoryExecutor(),
    run: async (_op, steps, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      return steps.map(() => new PakError('cancelled', 'run, `x`: cancelled'))
    },
  }
  const walking = apply(
    planOf(
      create('a'),
      start('a', ['container.create:service/a/1']),
      start('b', ['container.create:service/a/1']),
    ),
    executor,
    {
      signal: abort.signal,
      concurrency: 1,
      onEvent: () => {},
    },
  )
  abort.abort()
  const { done, failed, skipped } = await walking
  assert.equal(done, [])
  assert.equal(
    failed.map(({ id }) => id),
    ['container.create:service/a/1'],
  )
  assert.equal(skipped, ['container.start:service/a/1', 'container.start:service/b/1'])
})

test('aborted before it began: everything is skipped, nothing is run', async () => {
  const { executor, batches } = recorder()
  const result = await apply(planOf(create('a'), create('b')), executor, {
    signal: AbortSignal.abort(),
    concurrency: 1,
    onEvent: () => {},
  })
  assert.equal(batches, [])
  assert.is(result.skipped.length, 2)
})

test('an executor that throws, or forgets an outcome, leaves nothing hanging', async () => {
  for (const run of [
    async () => {
      throw new Error('a bug')
    },
    async () => [],
  ]) {
    const result = await applied(
      planOf(create('a'), start('a', ['container.create:service/a/1'])),
      {
        ...memoryExecutor(),
        run,
      },
    )
    assert.is(result.failed[0]?.error.code, 'apply')
    assert.equal(result.skipped, ['container.start:service/a/1'])
  }
})

test('steps that need each other are skipped, not forgotten', async () => {
  const { executor } = recorder()
  const result = await applied(
    planOf(
      start('a', ['container.start:service/b/1']),
      start('b', ['container.start:service/a/1']),
    ),
    executor,
  )
  assert.equal(result.skipped, ['container.start:service/a/1', 'container.start:service/b/1'])
})

function recorder(failures: Readonly<Record<string, PakError>> = {}) {
  const batches: string[] = []
  const run = async <O extends Op>(
    op: O,
    steps: readonly StepOf<O>[],
    _context: RunContext,
  ): Promise<readonly StepOutcome[]> => {
    batches.push([op, ...steps.map(({ on }) => on)].join(' '))
    return steps.map(({ id }) => failures[id] ?? null)
  }
  const executor: Executor = { ...memoryExecutor(), run }
  return { executor, batches }
}

const applied = (plan: Plan, executor: Executor, events: ApplyEvent[] = []) =>
  apply(plan, executor, {
    signal: new AbortController().signal,
    concurrency: 2,
    onEvent: (event) => events.push(event),
    clock: () => 0,
  })

const planOf = (...steps: readonly Step[]): Plan => ({
  project: 'shop',
  steps,
  summary: { create: 0, update: 0, recreate: 0, remove: 0, start: 0, stop: 0 },
  warnings: [],
})

const base = { because: { kind: 'missing' }, destroys: false } as const

// Apply reads no arguments: a start stands for any step.
const create = (name: string): Step => ({
  ...base,
  id: `container.create:service/${name}/1`,
  op: 'container.create',
  on: `service/${name}/1`,
  needs: [],
  args: {} as StepOf<'container.create'>['args'],
})

const start = (name: string, needs: readonly string[]): Step => ({
  ...base,
  id: `container.start:service/${name}/1`,
  op: 'container.start',
  on: `service/${name}/1`,
  needs,
  args: { container: name },
})

const net = (name: string): Step => ({
  ...base,
  id: `network.create:network/${name}`,
  op: 'network.create',
  on: `network/${name}`,
  needs: [],
  args: {} as StepOf<'network.create'>['args'],
})

const wait = (name: string, needs: readonly string[] = []): Step => ({
  ...base,
  id: `service.wait:service/${name}`,
  op: 'service.wait',
  on: `service/${name}`,
  needs,
  args: { containers: [], condition: 'service_healthy', timeoutMs: 1 },
})

test.run()
