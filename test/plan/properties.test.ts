import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import type { Executor } from '../../src/executor/executor.ts'
import type { MemoryContainer } from '../../src/executor/memory/host.ts'
import type { DesiredState } from '../../src/model/desired.ts'
import type { Op, Plan, Step, StepOf } from '../../src/model/plan.ts'
import { planDown } from '../../src/plan/down.ts'
import { imageReferences } from '../../src/plan/images.ts'
import { plan } from '../../src/plan/plan.ts'
import { sharedServices } from '../../src/plan/unit.ts'
import { anyProject, anyUpdate, shuffled } from './arbitrary.ts'
import { OPTIONS, text, world } from './build.ts'

const exits = ({ service }: MemoryContainer) => (service === 'seed' ? 0 : null)
const images = () =>
  new Map([
    ['one:1', 'sha256:1'],
    ['one:2', 'sha256:1'],
    ['two:1', 'sha256:2'],
  ])
const DOWN = { removeVolumes: true, removeOrphans: true, graceMs: null }
const ALL = { removeOrphans: true, removeVolumes: true }

/** A new replica with a check is let in once that has spoken: here at once, after the plan. */
async function letIn(late: Plan, run: (plan: Plan) => Promise<unknown>): Promise<void> {
  assert.ok(
    late.steps.every(({ op }) => op === 'firewall.apply'),
    text(late),
  )
  await run(late)
}

test('planning after applying is empty', async () => {
  await fc.assert(
    fc.asyncProperty(anyProject(), async (state) => {
      const { planOf, up } = world({ exits, images: images() })
      await up(state)
      assert.is(text(await planOf(state)), '')
      assert.is(text(await planOf(state, { cause: 'loop' })), '')
    }),
    { numRuns: 200 },
  )
})

test('from any project to any other, and then there is nothing to do', async () => {
  await fc.assert(
    fc.asyncProperty(anyProject(), anyProject(), async (from, to) => {
      const { planOf, run, up } = world({ exits, images: images() })
      await up(from)
      await up(to, ALL)
      await letIn(await planOf(to, ALL), run)
      assert.is(text(await planOf(to, ALL)), '')
    }),
    { numRuns: 400 },
  )
})

test('no step before what it needs: any order that the needs allow works', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyProject(),
      anyProject(),
      fc.infiniteStream(fc.nat()),
      async (a, b, dice) => {
        const { host, planOf, run } = world({ exits, images: images() })
        for (const state of [a, b]) {
          const planned = await planOf(state, ALL)
          assertOrdered(planned)
          await runInAnyOrder(planned, host, dice)
          await letIn(await planOf(state, ALL), run)
          assert.is(text(await planOf(state, ALL)), '')
        }
        const down = planDown(b, host.state('shop'), DOWN)
        assertOrdered(down)
        await runInAnyOrder(down, host, dice)
        assert.is(text(planDown(b, host.state('shop'), DOWN)), '')
        assert.equal(await host.projects(), [])
      },
    ),
    { numRuns: 200 },
  )
})

test('dependencies start first, and stop last', async () => {
  await fc.assert(
    fc.asyncProperty(anyProject(), anyProject(), async (from, to) => {
      const { host, planOf, up, run } = world({ exits, images: images() })
      assertStartOrder(from, await planOf(from))
      await up(from)
      const next = await planOf(to, ALL)
      assertStartOrder(to, next)
      assertStopOrder(from, next)
      await run(next)
      assertStopOrder(to, planDown(to, host.state('shop'), DOWN))
    }),
    { numRuns: 200 },
  )
})

test('while an update that starts first is under way, as many answer as before', async () => {
  let seen = 0
  await fc.assert(
    fc.asyncProperty(anyUpdate(), fc.infiniteStream(fc.nat()), async ({ from, to }, dice) => {
      const { host, planOf, run, up } = world({ exits, images: images() })
      await up(from)
      await letIn(await planOf(from), run)
      const planned = await planOf(to)
      const batched = updated(planned)
      const firsts = to.services.filter(
        ({ name, update }) => batched.has(name) && update?.order === 'start-first',
      )
      const before = firsts.map(({ name }) => answerers(host, name))
      seen += before.filter((count) => count > 0).length
      await runInAnyOrder(planned, host, dice, ({ id }) => {
        const now = firsts.map(({ name }) => answerers(host, name))
        for (const [index, { name }] of firsts.entries())
          if ((now[index] ?? 0) < (before[index] ?? 0))
            throw new Error(`${name} after ${id}: ${before} were, ${now} are\n${text(planned)}`)
      })
      assert.is(text(await planOf(to)), '')
    }),
    { numRuns: 120 },
  )
  assert.ok(seen > 20, `only ${seen} were updated so`)
})

/** How many of a service run and get connections to its address. */
function answerers(host: ReturnType<typeof world>['host'], name: string): number {
  const { containers, firewall } = host.state('shop')
  const running = new Set(
    containers.flatMap((one) =>
      one.service === name && one.status.state === 'running' ? one.name : [],
    ),
  )
  const counts = firewall.services
    .filter(({ service }) => service === name)
    .map((address) => address.containers.filter((one) => one !== null && running.has(one)).length)
  return counts.length === 0 ? 0 : Math.max(...counts)
}

test('the same plan, byte for byte, for any order of keys and lists', async () => {
  await fc.assert(
    fc.asyncProperty(anyProject(), anyProject(), fc.nat(), async (from, to, by) => {
      const { host, up } = world({ exits, images: images() })
      await up(from)
      const observed = await host.inspect({
        project: 'shop',
        images: async () => imageReferences(to),
      })
      const turned = {
        ...observed,
        containers: [...observed.containers].reverse(),
        networks: [...observed.networks].reverse(),
        volumes: [...observed.volumes].reverse(),
      }
      const first = JSON.stringify(plan(to, observed, OPTIONS))
      assert.is(JSON.stringify(plan(shuffled(to, by), turned, OPTIONS)), first)
    }),
    { numRuns: 200 },
  )
})

test('nothing outside the project is touched', async () => {
  await fc.assert(
    fc.asyncProperty(anyProject(), anyProject(), anyProject('other', 9000), async (a, b, other) => {
      const { host, up, run } = world({ exits, images: images() })
      await up(other)
      const before = JSON.stringify(host.state('other'))
      await up(a)
      await up(b, ALL)
      await run(planDown(null, host.state('shop'), DOWN))
      assert.is(JSON.stringify(host.state('other')), before)
    }),
    { numRuns: 100 },
  )
})

test('whatever fails on the way, planning again converges', async () => {
  const chosen = fc.array(fc.nat(), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(
      anyProject(),
      anyProject(),
      chosen,
      chosen,
      async (from, to, first, second) => {
        const { host, planOf, up, run } = world({ exits, images: images() })
        for (const [state, picks] of [
          [from, first],
          [to, second],
        ] as const) {
          const planned = await planOf(state, ALL)
          for (const pick of picks) {
            const step = planned.steps[pick % Math.max(planned.steps.length, 1)]
            if (step)
              host.failNext(step.id, new PakError('runtime', `run, \`${step.id}\`: unlucky`))
          }
          const { done, failed, skipped } = await run(planned)
          assert.is(done.length + failed.length + skipped.length, planned.steps.length)
        }
        for (let round = 0; round < 8 && (await planOf(to, ALL)).steps.length > 0; round++)
          await up(to, ALL).catch(() => {})
        assert.is(text(await planOf(to, ALL)), '')
      },
    ),
    { numRuns: 300 },
  )
})

test('whatever drifts is repaired, and only that', async () => {
  await fc.assert(
    fc.asyncProperty(anyProject(), fc.nat(), async (state, pick) => {
      const { host, planOf, up } = world({ exits, images: images() })
      await up(state)
      host.flushFirewall('shop')
      const net = state.networks[pick % Math.max(state.networks.length, 1)]
      if (net) host.deleteBridge('shop', net.name)
      const { containers } = host.state('shop')
      const running = containers.filter(({ status }) => status.state === 'running')
      const victim = running[pick % Math.max(running.length, 1)]
      const fact = 'memory.max was 1, should be 2'
      if (victim) host.meddle('shop', victim.name, { of: 'limits', fact })
      host.meddleWithProject('shop', fact)
      const planned = await planOf(state, { cause: 'loop' })
      const allowed = ['network.create', 'firewall.apply', 'container.repair', 'project.update']
      assert.ok(planned.steps.every(({ op }) => allowed.includes(op)))
      await up(state, { cause: 'loop' })
      assert.is(text(await planOf(state)), '')
    }),
    { numRuns: 100 },
  )
})

function assertOrdered(planned: Plan): void {
  const seen = new Set<string>()
  for (const step of planned.steps) {
    assert.ok(
      step.needs.every((need) => seen.has(need)),
      `${step.id} before its needs`,
    )
    assert.not(seen.has(step.id), `${step.id} twice`)
    seen.add(step.id)
  }
}

async function runInAnyOrder(
  planned: Plan,
  host: Executor,
  dice: fc.Stream<number>,
  after: (step: Step) => void = () => {},
) {
  const left = new Map<string, Step>(planned.steps.map((step) => [step.id, step]))
  while (left.size > 0) {
    const ready = [...left.values()].filter(({ needs }) => needs.every((need) => !left.has(need)))
    const [roll = 0] = dice.take(1)
    const step = ready[roll % ready.length]
    if (step === undefined) throw new Error('a circle of needs')
    left.delete(step.id)
    const error = await runOne(host, step.op, step)
    if (error) throw error
    after(step)
  }
}

async function runOne<O extends Op>(host: Executor, op: O, step: Step & StepOf<O>) {
  const context = { project: 'shop', signal: new AbortController().signal, concurrency: 1 }
  return (await host.run(op, [step], context))[0]
}

function assertStartOrder(state: DesiredState, planned: Plan): void {
  const at = positions(planned, 'container.start')
  const batched = updated(planned)
  for (const { name, dependsOn, container } of state.services)
    for (const { service } of dependsOn) {
      // Who lives in the namespaces of one replica goes with that one through its service's update.
      const lender = planned.steps.findIndex(
        ({ op, on }) => op === 'container.start' && on === `service/${service}/1`,
      )
      const goesAlong = batched.has(service) && sharedServices(container).includes(service)
      const before = goesAlong && lender >= 0 ? lender : last(at, service)
      assert.ok(before < first(at, name), `${name}: ${text(planned)}`)
    }
}

function assertStopOrder(state: DesiredState, planned: Plan): void {
  const at = positions(planned, 'container.stop')
  const batched = updated(planned)
  // Nothing is taken down for what is replaced batch by batch.
  for (const { name, dependsOn } of state.services)
    for (const dependency of dependsOn)
      if (!batched.has(name) && !batched.has(dependency.service))
        assert.ok(last(at, name) < first(at, dependency.service), `${name}: ${text(planned)}`)
}

/** Services that it replaces batch by batch. */
const updated = ({ steps }: Plan): ReadonlySet<string> =>
  new Set(steps.flatMap(({ because }) => (because.kind === 'batch' ? because.service : [])))

function positions(planned: Plan, op: Op): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>()
  for (const [index, step] of planned.steps.entries()) {
    const service = step.on.split('/')[1] ?? ''
    if (step.op === op) found.set(service, [...(found.get(service) ?? []), index])
  }
  return found
}

const first = (at: ReadonlyMap<string, readonly number[]>, name: string) =>
  Math.min(...(at.get(name) ?? []), Number.POSITIVE_INFINITY)
const last = (at: ReadonlyMap<string, readonly number[]>, name: string) =>
  Math.max(...(at.get(name) ?? []), Number.NEGATIVE_INFINITY)

test.run()
