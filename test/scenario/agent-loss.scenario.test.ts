// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
// alone: holds pak to its two seconds
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  fleetOfTen,
  freePort,
  killed,
  manifest,
  pidOf,
  pids,
  ps,
} from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const NETWORKS = ['fleet/default']

testUnless(
  test,
  fleetLacks(),
  'ten containers, their port and their names outlive the agent; it is back with the same pids',
  async () => {
    await using sandbox = await busyboxSandbox()
    const port = await freePort()
    await sandbox.write('pak.yaml', fleetOfTen(port))
    await sandbox.ok(['up', '-d'])
    const before = await pids(sandbox)
    const { agent } = await agentPids(sandbox)
    const inside = await pidOf(sandbox, 's0')
    await killed(agent)
    assert.is(await pageOf(port), 'hello\n')
    assert.is(await pageByName(inside), 'hello\n')
    const after = await eventually('ps is right', () => pids(sandbox), { withinMs: 2_000 })
    assert.equal(after, before)
    assert.is.not((await agentPids(sandbox)).agent, agent)
    await sandbox.ok(['up', '-d'])
    assert.equal(await pids(sandbox), before)
    assert.is(await sandbox.ok(['exec', 's1', 'wget', '-qO-', 'http://web/']), 'hello\n')
    await sandbox.ok(['down', '-t', '0'])
    await nothingLeft(sandbox, NETWORKS)
  },
)

for (const victims of ['supervisor', 'both'] as const)
  testUnless(
    test,
    fleetLacks(),
    `containers outlive the ${victims === 'both' ? 'supervisor and the agent' : 'supervisor'}, and down finds all of them`,
    async () => {
      await using sandbox = await busyboxSandbox()
      const port = await freePort()
      await sandbox.write('pak.yaml', fleetOfTen(port))
      await sandbox.ok(['up', '-d'])
      const before = await pids(sandbox)
      const { agent, supervisor } = await agentPids(sandbox)
      await killed(supervisor, ...(victims === 'both' ? [agent] : []))
      assert.equal(await pids(sandbox), before)
      assert.is(await pageOf(port), 'hello\n')
      assert.is(await sandbox.ok(['exec', 's1', 'wget', '-qO-', 'http://web/']), 'hello\n')
      await sandbox.ok(['up', '-d'])
      assert.equal(await pids(sandbox), before)
      const now = await eventually('a supervisor again', async () => {
        const found = await agentPids(sandbox)
        return found.supervisor !== supervisor && found.supervisor > 1 ? found : null
      })
      assert.is.not(now.supervisor, process.pid)
      await sandbox.ok(['down', '-t', '0'])
      await nothingLeft(sandbox, NETWORKS)
    },
  )

testUnless(
  test,
  fleetLacks(),
  'a container that ended while nobody looked shows its true exit code',
  async () => {
    await using sandbox = await busyboxSandbox()
    const exits = (code: number) => ['sh', '-c', `trap "exit ${code}" TERM; sleep 100 & wait`]
    await sandbox.write(
      'pak.yaml',
      manifest({ seven: { command: exits(7) }, killed: {}, stays: {} }),
    )
    await sandbox.ok(['up', '-d'])
    const before = await pids(sandbox)
    const [seven, victim] = [await pidOf(sandbox, 'seven'), await pidOf(sandbox, 'killed')]
    const { agent, supervisor } = await agentPids(sandbox)
    await killed(supervisor, agent)
    process.kill(seven, 'SIGTERM')
    await killed(victim)
    const rows = await eventually('both have ended', async () => {
      const found = await ps(sandbox)
      return found['seven']?.state === 'stopped' ? found : null
    })
    assert.is(rows['seven']?.exitCode, 7)
    assert.is(rows['killed']?.state, 'stopped')
    assert.is(rows['killed']?.exitCode, 137)
    assert.is(rows['stays']?.pid, before['stays'])
  },
)

const pageOf = async (port: number): Promise<string> =>
  (await fetch(`http://127.0.0.1:${port}/`)).text()

/** From inside a container, without pak: the name is asked for while no agent may be there. */
async function pageByName(pid: number): Promise<string> {
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  const entered = ['-t', String(pid), '-m', '-n', '--root', '--wd', '/bin/busybox']
  const { stdout } = await promisify(execFile)(
    'nsenter',
    [...entered, 'wget', '-qO-', 'http://web/'],
    { timeout: 10_000 },
  )
  return stdout
}

test.run()
