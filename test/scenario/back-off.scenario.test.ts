// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
// alone: compares times of starts
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { agentPids, busyboxSandbox, fleetLacks, manifest, ps } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'

/** Counts its runs in a file of its own root, and says so. */
const LOOP = 'echo x >>/runs; wc -l </runs; exit 4'
const RUNS = 6

interface ExitEvent {
  readonly type: string
  readonly because: { readonly restartAt?: string | null }
}

testUnless(
  test,
  fleetLacks(),
  'what a start takes is done before its back-off is over, and no run begins before that',
  async () => {
    await using sandbox = await busyboxSandbox()
    await sandbox.write(
      'pak.yaml',
      manifest({ loop: { command: ['sh', '-c', LOOP], restart: 'always' } }),
    )
    await sandbox.ok(['up', '-d'])
    await eventually('it waits for longer and longer', async () => {
      const rows = await ps(sandbox)
      return (rows['loop']?.restartCount ?? 0) >= RUNS && rows['loop']?.state === 'restarting'
    })
    const said = (await sandbox.ok(['logs', '-t', '--no-log-prefix', 'loop'])).trim().split('\n')
    const runs = said.map((line) => {
      const [time = '', number = ''] = line.split(' ')
      return { at: Date.parse(time), number: Number(number) }
    })
    // Its root is the same in all of them, as its writable layer is.
    assert.equal(
      runs.map(({ number }) => number),
      runs.map((_, index) => index + 1),
    )
    const events = (
      await sandbox.ok(['events', '--since', '10m', '--until', '0s', '--format', 'json'])
    )
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ExitEvent)
    const due = events.flatMap(({ type, because }) =>
      type === 'container.exited' ? Date.parse(because.restartAt ?? '') : [],
    )
    assert.ok(due.length >= RUNS)
    for (const [index, time] of due.entries()) {
      const next = runs[index + 1]
      if (next !== undefined) assert.ok(next.at >= time - 1, `run ${next.number} is early`)
    }
    // While it waits, its root does, too; and it goes with the container.
    const { agent } = await agentPids(sandbox)
    assert.match(
      await readFile(`/proc/${agent}/mountinfo`, 'utf8'),
      /containers\/[0-9a-f]+\/rootfs /,
    )
    await sandbox.ok(['down'])
    assert.not(existsSync(sandbox.runRoot))
  },
)

test.run()
