// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  killed,
  manifest,
  pidOf,
  pids,
  ps,
} from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

testUnless(
  test,
  fleetLacks(),
  'what always runs is started again with back-off, on-failure:2 gives up after two',
  async () => {
    await using sandbox = await busyboxSandbox()
    const services = {
      always: { command: ['true'], restart: 'always' },
      failing: { command: ['sh', '-c', 'echo try; exit 3'], restart: 'on-failure:2' },
      once: { command: ['sh', '-c', 'exit 4'] },
    }
    await sandbox.write('pak.yaml', manifest(services))
    await sandbox.ok(['up', '-d'])
    const rows = await eventually('it gave up', async () => {
      const found = await ps(sandbox)
      const { always, failing } = found
      const gaveUp = failing?.state === 'stopped' && failing.restartCount === 2
      return gaveUp && (always?.restartCount ?? 0) >= 3 ? found : null
    })
    assert.is(rows['failing']?.exitCode, 3)
    assert.is(rows['once']?.exitCode, 4)
    assert.is(rows['once']?.restartCount, 0)
    const tries = (await sandbox.ok(['logs', '--no-log-prefix', 'failing'])).match(/try/g)
    assert.is(tries?.length, 3)
    const waits = await eventually('it was started three times more', async () => {
      const seen = await gaps(sandbox)
      return seen.length >= 3 ? seen : null
    })
    // 100 ms, doubled each time; an event is written a moment after what it tells.
    for (const [index, wait] of waits.entries())
      assert.ok(wait >= 100 * 2 ** index - WRITTEN_MS, String(waits))
    await sandbox.ok(['down', '-t', '0'])
    await nothingLeft(sandbox)
  },
)

/** How much later one start is written down than another may be. */
const WRITTEN_MS = 50

/** Milliseconds from each start of `always`, which ends at once, to its next, from pak's own events. */
async function gaps(sandbox: {
  ok(args: readonly string[]): Promise<string>
}): Promise<readonly number[]> {
  const lines = (await sandbox.ok(['events', '--since', '1m', '--format', 'json']))
    .split('\n')
    .filter(Boolean)
  const events = lines
    .map((line) => JSON.parse(line) as { time: string; type: string; on: string })
    .filter(({ on }) => on === 'service/always/1')
  const starts = events
    .filter(({ type }) => type === 'container.started')
    .map(({ time }) => Date.parse(time))
  return starts.slice(1).map((start, index) => start - (starts[index] ?? start))
}

testUnless(
  test,
  fleetLacks(),
  'what a user stopped stays stopped, although the agent is killed; start ends that',
  async () => {
    await using sandbox = await busyboxSandbox()
    await sandbox.write(
      'pak.yaml',
      manifest({ a: { restart: 'always' }, b: { restart: 'always' } }),
    )
    await sandbox.ok(['up', '-d'])
    await sandbox.ok(['stop', 'a'])
    const { agent } = await agentPids(sandbox)
    await killed(agent)
    // It acts: the other one, ended from outside, is back.
    await killed(await pidOf(sandbox, 'b'))
    await eventually('b is back', async () => (await ps(sandbox))['b']?.restartCount === 1)
    assert.is((await ps(sandbox))['a']?.state, 'stopped')
    await sandbox.ok(['start', 'a'])
    assert.is((await ps(sandbox))['a']?.state, 'running')
  },
)

testUnless(
  test,
  fleetLacks(),
  'up --wait returns when a check has passed; a check that fails shows, and recovers',
  async () => {
    await using sandbox = await busyboxSandbox()
    const ready = join(sandbox.folder, 'rootfs/tmp')
    const check = { test: 'test -e /shared/ready', interval: '200ms', retries: 2 }
    const services = {
      web: { healthcheck: check, volumes: [`${ready}:/shared`] },
      user: { depends_on: { web: { condition: 'service_healthy' } } },
    }
    await sandbox.write('pak.yaml', manifest(services))
    const late = setTimeout(() => void sandbox.write('rootfs/tmp/ready', ''), 300)
    await sandbox.ok(['up', '--wait'])
    clearTimeout(late)
    const before = await ps(sandbox)
    assert.is(before['web']?.health, 'healthy')
    assert.is(before['user']?.state, 'running')
    await rm(join(ready, 'ready'))
    await eventually('unhealthy', async () => (await ps(sandbox))['web']?.health === 'unhealthy')
    assert.match(await sandbox.ok(['ps']), 'unhealthy')
    const { exitCode, stderr } = await sandbox.run(['up', '--wait'])
    assert.is(exitCode, 1)
    assert.match(stderr, 'unhealthy')
    await killed((await agentPids(sandbox)).agent)
    assert.is((await ps(sandbox))['web']?.health, 'unhealthy')
    await sandbox.write('rootfs/tmp/ready', '')
    await eventually('healthy', async () => (await ps(sandbox))['web']?.health === 'healthy')
  },
)

testUnless(
  test,
  fleetLacks(),
  'a one-shot runs once before what needs it, and not again',
  async () => {
    await using sandbox = await busyboxSandbox()
    const services = {
      migrate: { command: ['sh', '-c', 'echo migrated'] },
      app: { depends_on: { migrate: { condition: 'service_completed_successfully' } } },
    }
    await sandbox.write('pak.yaml', manifest(services))
    await sandbox.ok(['up', '-d'])
    const before = await pids(sandbox)
    const rows = await ps(sandbox)
    assert.is(rows['migrate']?.exitCode, 0)
    assert.ok((rows['migrate']?.finishedAt ?? '') <= (rows['app']?.startedAt ?? ''))
    await sandbox.ok(['up', '-d'])
    await sandbox.ok(['up', '--wait'])
    await killed((await agentPids(sandbox)).agent)
    await sandbox.ok(['up', '-d'])
    assert.equal(await pids(sandbox), before)
    assert.is(await sandbox.ok(['logs', '--no-log-prefix', 'migrate']), 'migrated\n')
  },
)

testUnless(test, fleetLacks(), 'what needs a one-shot that fails does not start', async () => {
  await using sandbox = await busyboxSandbox()
  const services = {
    migrate: { command: ['sh', '-c', 'exit 9'] },
    app: { depends_on: { migrate: { condition: 'service_completed_successfully' } } },
    other: {},
  }
  await sandbox.write('pak.yaml', manifest(services))
  const { exitCode, stderr } = await sandbox.run(['up', '-d'])
  assert.is(exitCode, 1)
  assert.match(stderr, 'exited with 9')
  const rows = await ps(sandbox)
  assert.is(rows['other']?.state, 'running')
  assert.is.not(rows['app']?.state, 'running')
})

test.run()
