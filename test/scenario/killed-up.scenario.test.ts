// not in the emulated machine: its moments are chosen for a machine of usual speed
import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
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
  type Row,
} from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft, traces } from '../support/traces.ts'

/** Moments after the agent is there: before, in the middle of and after its work. */
const DELAYS_MS = [0, 30, 70, 120, 180, 250, 350]

testUnless(
  test,
  fleetLacks(),
  'an agent killed at any moment of up: up again converges, down leaves nothing',
  async () => {
    await using sandbox = await busyboxSandbox()
    const port = await freePort()
    await sandbox.write('pak.yaml', fleetOfTen(port))
    for (const delayMs of DELAYS_MS) {
      await killDuring(sandbox, ['up', '-d'], delayMs)
      await sandbox.ok(['up', '-d'])
      const rows = await sandbox.json<readonly Row[]>(['ps', '-a'])
      assert.is(new Set(rows.map(({ container }) => container)).size, 10, `after ${delayMs} ms`)
      assert.ok(rows.every(({ state }) => state === 'running'))
      assert.is(monitors(sandbox), 10, `monitors after ${delayMs} ms`)
      assert.is((await sandbox.run(['plan', '--detailed-exitcode'])).exitCode, 0)
      assert.is(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'hello\n')
      await sandbox.ok(['down', '-t', '0'])
      await nothingLeft(sandbox, ['fleet/default'])
    }
  },
)

testUnless(
  test,
  fleetLacks(),
  'an agent killed at any moment of down: what is left goes by itself',
  async () => {
    await using sandbox = await busyboxSandbox()
    await sandbox.write('pak.yaml', fleetOfTen(await freePort()))
    for (const delayMs of [0, 30, 60, 100, 160]) {
      await sandbox.ok(['up', '-d'])
      await killDuring(sandbox, ['down', '-t', '0'], delayMs)
      await sandbox.ok(['down', '-t', '0'])
      await nothingLeft(sandbox, ['fleet/default'])
    }
  },
)

testUnless(test, fleetLacks(), 'storage that was made but never written down goes', async () => {
  await using sandbox = await busyboxSandbox()
  await sandbox.write('pak.yaml', fleetOfTen(await freePort()))
  await sandbox.ok(['up', '-d'])
  const containers = join(sandbox.root, 'containers')
  const known = (await readdir(containers)).sort()
  await mkdir(join(containers, 'f'.repeat(64), 'upper'), { recursive: true })
  await killed((await agentPids(sandbox)).agent)
  await sandbox.ok(['up', '-d'])
  assert.equal((await readdir(containers)).sort(), known)
})

/** Begin a command and kill the agent `delayMs` after it is there. How the command ends is its own affair. */
async function killDuring(
  sandbox: PakSandbox,
  args: readonly string[],
  delayMs: number,
): Promise<void> {
  const child = sandbox.start(args)
  child.stdout?.resume()
  child.stderr?.resume()
  const ended = once(child, 'close')
  const { agent } = await eventually('an agent', () => agentPids(sandbox), { everyMs: 2 })
  await sleep(delayMs)
  // At the latest moments it may have done its work, and gone.
  await killed(agent).catch(() => {})
  await ended
}

const monitors = (sandbox: PakSandbox): number =>
  traces(sandbox).filter((line) => /^process \d+ \S*conmon /.test(line)).length

test.run()
