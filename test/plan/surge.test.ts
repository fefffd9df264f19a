import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Service } from '../../src/model/desired.ts'
import type { Plan } from '../../src/model/plan.ts'
import { planDown } from '../../src/plan/down.ts'
import { brief, HEALTH, lines, one, port, world } from './build.ts'

const POLICY = {
  order: 'start-first',
  parallelism: 1,
  delayMs: 0,
  monitorMs: 0,
  onFailure: 'pause',
  maxFailureRatio: 0,
} as const
const TWO: Partial<Service> = { replicas: 2, update: POLICY }
const version = (hostname: string, over: Partial<Service> = {}) =>
  one({ healthcheck: HEALTH, hostname }, { ...TWO, ...over })
const UPDATING = { updating: new Set(['web']), cause: 'loop' } as const
const PAUSED = { paused: new Set(['web']), cause: 'loop' } as const

/** Two that work, and are known to. */
async function running(over: Partial<Service> = {}) {
  const sick = new Set<string>()
  const it = world({ health: ({ name }) => (sick.has(name) ? 'unhealthy' : 'healthy') })
  await it.up(version('one', over))
  await it.up(version('one', over))
  return { ...it, sick }
}

test('one more starts before the first one stops, and leaves when the last one is there', async () => {
  const { up, planOf } = await running()
  const planned = await planOf(version('two'))
  const changed = 'hostname: "one" -> "two"'
  const more = 'one more while web is updated'
  const batch = (number: number) => `update of web, batch ${number} of 3`
  assert.is(
    brief(planned),
    lines(
      `container.create:service/web/3 (${more})`,
      `container.start:service/web/3 (${more})`,
      `service.wait:service/web/batch-1 (${batch(1)})`,
      `firewall.admit:service/web/batch-1 (${batch(1)})`,
      `container.stop:service/web/1 (${changed})`,
      `container.remove:service/web/1 (${changed})`,
      `container.create:service/web/1 (${changed})`,
      `container.start:service/web/1 (${changed})`,
      `service.wait:service/web/batch-2 (${batch(2)})`,
      `firewall.admit:service/web/batch-2 (${batch(2)})`,
      `container.stop:service/web/2 (${changed})`,
      `container.remove:service/web/2 (${changed})`,
      `container.create:service/web/2 (${changed})`,
      `container.start:service/web/2 (${changed})`,
      `service.wait:service/web/batch-3 (${batch(3)})`,
      `firewall.admit:service/web/batch-3 (${batch(3)})`,
      `container.stop:service/web/3 (${more})`,
      `container.remove:service/web/3 (${more})`,
    ),
  )
  assert.equal(planned.summary, { create: 1, update: 0, recreate: 2, remove: 1, start: 0, stop: 0 })
  await up(version('two'))
  assert.equal((await planOf(version('two'))).steps, [])
})

test('so many as are replaced together, and never more than are replaced', async () => {
  for (const [parallelism, names] of [
    [0, ['service/web/3', 'service/web/4']],
    [5, ['service/web/3', 'service/web/4']],
    [1, ['service/web/3']],
  ] as const) {
    const { planOf } = await running()
    const planned = await planOf(version('two', { update: { ...POLICY, parallelism } }))
    assert.equal(standIns(planned), names)
  }
})

test('a name or an address that only one can have: the one more has a name of its own', async () => {
  const single = { replicas: 1, containerName: 'mine' }
  const { planOf } = await running(single)
  const { steps } = await planOf(version('two', single))
  const made = steps.flatMap((step) => (step.op === 'container.create' ? step.args.container : []))
  assert.equal(made, ['shop-web-2', 'mine'])
})

test('one replica has an address of its own, so that its name leads to whoever is there', async () => {
  const { host } = await running({ replicas: 1 })
  assert.equal(Object.keys(host.state('shop').networks[0]?.services ?? {}), ['web'])
})

test('a version that does not work stops nothing, and leaves', async () => {
  const { host, run, planOf, sick } = await running()
  const before = host.state('shop').containers
  sick.add('shop-web-3')
  const { failed } = await run(await planOf(version('two')))
  assert.equal(
    failed.map(({ id }) => id),
    ['service.wait:service/web/batch-1'],
  )
  for (const left of [
    await planOf(version('two'), PAUSED),
    await planOf(version('one'), UPDATING),
  ]) {
    assert.is(
      brief(left),
      lines(
        'container.stop:service/web/3 (scaled from 3 to 2)',
        'container.remove:service/web/3 (scaled from 3 to 2)',
      ),
    )
  }
  await run(await planOf(version('two'), PAUSED))
  assert.equal(host.state('shop').containers, before)
  assert.equal((await planOf(version('two'), PAUSED)).steps, [])
})

test('cut short, the update goes on with the one more that is there', async () => {
  const { planOf } = await running()
  const planned = await planOf(version('two'))
  for (let count = 2; count < planned.steps.length; count += 1) {
    const { host, run: runHere, planOf: planHere } = await running()
    await runHere({ ...planned, steps: planned.steps.slice(0, count) })
    const rest = await planHere(version('two'), UPDATING)
    const last = planned.steps[count]?.id ?? ''
    if (last !== 'container.remove:service/web/3')
      assert.not.ok(standIns(rest).includes('service/web/3'), last)
    await runHere(rest)
    assert.equal(
      host.state('shop').containers.map(({ name, spec }) => [name, spec.hostname]),
      [
        ['shop-web-1', 'two'],
        ['shop-web-2', 'two'],
      ],
      last,
    )
    // What is known of health by now.
    await runHere(await planHere(version('two'), UPDATING))
    assert.equal((await planHere(version('two'), UPDATING)).steps, [], last)
  }
})

test('a third version begins beside the one more of the second, which answers until the end', async () => {
  const { run, planOf } = await running()
  const { steps, ...rest } = await planOf(version('two'))
  const cut = steps.findIndex(({ id }) => id === 'container.remove:service/web/1')
  await run({ ...rest, steps: steps.slice(0, cut) })
  const third = await planOf(version('three'), UPDATING)
  assert.equal(standIns(third), ['service/web/4'])
  const stop = third.steps.find(({ id }) => id === 'container.stop:service/web/3')
  assert.equal(stop?.needs, ['firewall.admit:service/web/batch-2'])
  await run(third)
  await run(await planOf(version('three'), UPDATING))
  assert.equal((await planOf(version('three'), UPDATING)).steps, [])
})

test('where a half of it failed, the one more stays while it is needed', async () => {
  const { host, run, planOf, sick } = await running()
  sick.add('shop-web-1')
  assert.is((await run(await planOf(version('two')))).failed.length, 1)
  const names = () => host.state('shop').containers.map(({ name }) => name)
  await run(await planOf(version('two'), PAUSED))
  assert.equal(names(), ['shop-web-1', 'shop-web-2', 'shop-web-3'])
  assert.equal((await planOf(version('two'), PAUSED)).steps, [])
  const back = await planOf(version('one'), UPDATING)
  assert.equal(standIns(back), ['service/web/4'])
  sick.clear()
  await run(back)
  assert.equal(names(), ['shop-web-1', 'shop-web-2'])
})

test('another network for all is no matter of batches', async () => {
  const { planOf, up } = world()
  const old = one({ ports: port(80) }, TWO)
  await up(old)
  const moved = one({ ports: port(80), hostname: 'two' }, TWO)
  const changed = {
    ...moved,
    networks: moved.networks.map((network) => ({ ...network, internal: true })),
  }
  const planned = await planOf(changed)
  assert.equal(standIns(planned), [])
  assert.match(planned.warnings.join(), 'all at once')
  await up(changed)
  assert.equal((await planOf(changed)).steps, [])
})

test('down takes the one more along', async () => {
  const { host, run, planOf } = await running()
  const { steps, ...rest } = await planOf(version('two'))
  await run({ ...rest, steps: steps.slice(0, 3) })
  const down = { removeVolumes: false, removeOrphans: true, graceMs: null }
  await run(planDown(version('two'), host.state('shop'), down))
  assert.equal(await host.projects(), [])
})

const standIns = ({ steps }: Plan) =>
  steps.flatMap(({ op, on, because }) =>
    op === 'container.create' && because.kind === 'surge' ? [on] : [],
  )

test.run()
