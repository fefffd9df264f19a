// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
// alone: measures the agent's share of the CPU
import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { agentPids, busyboxSandbox, fleetLacks, manifest, ps } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'

/** Milliseconds of CPU that a process and the children that it has waited for have used. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = [11, 12].reduce((sum, index) => sum + Number(fields[index]), 0)
  return ticks * 10
}

/** CPU time that Node takes to start on the machines that the bound is meant for. */
const NODE_START_MS = 25

/** How much slower than those this machine is; 1 where it is not. */
function slowdown(): number {
  const script = 'const { user, system } = process.cpuUsage(); console.log(user + system)'
  const starts = Array.from({ length: 9 }, () =>
    Number(execFileSync(process.execPath, ['--eval', script], { encoding: 'utf8', env: {} })),
  )
  const middle = starts.sort((a, b) => a - b)[4] ?? 0
  return Math.max(1, middle / 1000 / NODE_START_MS)
}

testUnless(
  test,
  fleetLacks(),
  'a crash loop costs the agent less than 1 % of a CPU; on-failure:3 stops after three',
  async () => {
    await using sandbox = await busyboxSandbox()
    const services = {
      loop: { command: ['false'], restart: 'always' },
      thrice: { command: ['sh', '-c', 'echo try; exit 3'], restart: 'on-failure:3' },
    }
    await sandbox.write('pak.yaml', manifest(services))
    await sandbox.ok(['up', '-d'])
    // 100 ms doubled each time: from now on it waits for 12.8 s and longer.
    const settled = await eventually(
      'it waits for longer and longer',
      async () => {
        const rows = await ps(sandbox)
        return (rows['loop']?.restartCount ?? 0) >= 7 ? rows : null
      },
      { withinMs: 60_000, everyMs: 500 },
    )
    assert.is(settled['thrice']?.state, 'stopped')
    assert.is(settled['thrice']?.restartCount, 3)
    assert.is(settled['thrice']?.exitCode, 3)
    const tries = (await sandbox.ok(['logs', '--no-log-prefix', 'thrice'])).match(/try/g)
    assert.is(tries?.length, 4)
    const { agent } = await agentPids(sandbox)
    const [before, from] = [await cpuMs(agent), performance.now()]
    // Nothing to wait for: what is measured is a time in which little happens, a restart of the loop among it.
    await sleep(25_000)
    const used = (await cpuMs(agent)) - before
    const share = (100 * used) / (performance.now() - from)
    const slow = slowdown()
    assert.ok(share < slow, `${share.toFixed(2)} %, on a machine ${slow.toFixed(1)} times slower`)
    assert.is((await ps(sandbox))['loop']?.state, 'restarting')
  },
)

test.run()
