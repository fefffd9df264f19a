import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ExecUsage } from '../../src/model/usage.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { cgroupOf, labWith, lacksContainers, pidOf, rowOf, tell } from './lab.ts'

const lacking = lacksContainers()
const MEBI = 1024 * 1024
const isUnified = existsSync('/sys/fs/cgroup/cgroup.controllers')

const PROJECT = `
web:
  rootfs: ./rootfs
  command: [sleep, '100000']
  network_mode: none
  stop_grace_period: 0s
  limits: { memory: 64M, swap: 0, pids: 50 }
`

// One project for all of it: this also runs where starting Node takes seconds.
testUnless(
  test,
  lacking,
  'what exec runs has its share of its own, and the container’s limits',
  async () => {
    await using sandbox = await labWith('pakt-share', PROJECT)
    await sandbox.ok(['up', '-d'])
    const container = cgroupOf(await pidOf(sandbox, 'web'), 'memory')
    const held = sandbox.start([
      ...['exec', 'web', 'sh', '-c'],
      'dd if=/dev/zero bs=20M 2>/dev/null | sleep 100000 & while :; do :; done',
    ])
    const heldEnded = new Promise((resolve) => held.once('close', resolve))
    const share = await eventually('the share of exec', async () => {
      const [found] = await execs(sandbox)
      return found !== undefined && found.memoryBytes >= 20 * MEBI && found.cpuPercent > 20
        ? found
        : null
    })
    assert.match(share.command, /^sh -c dd /)
    assert.is(share.pids, 3)
    assert.ok(share.cpuUsageUsec > 0)
    const own = cgroupOf(share.pid, 'memory')
    if (isUnified) {
      assert.is(join(container, basename(own)), own)
      assert.match(basename(own), /^exec-[0-9a-f]{16}$/)
      assert.is(readFileSync(join(container, 'cgroup.subtree_control'), 'utf8').trim(), '')
    } else assert.is(own, container)
    const rows = await sandbox.json<
      readonly { pid: number; session: number | null; exec: boolean }[]
    >(['top'])
    assert.is(rows.filter(({ session }) => session === share.pid).length, 3)
    assert.equal(
      rows.filter(({ exec }) => !exec).map(({ session }) => session),
      [null],
    )
    assert.is((await sandbox.run(['plan', '--detailed-exitcode'])).exitCode, 0)

    // Who runs on in the background keeps its place; the next exec that finds it empty takes it away.
    const script = 'sleep 4242 >/dev/null 2>&1 </dev/null & echo $!'
    const innerPid = await tell(sandbox, 'web', script)
    if (isUnified) {
      assert.is(execFolders(container).length, 2)
      const left = (await execs(sandbox)).find(({ command }) => command === 'sleep 4242')
      assert.is(left?.pids, 1)
      await tell(sandbox, 'web', `kill ${innerPid} && ! mkdir /sys/fs/cgroup/mine`)
      await tell(sandbox, 'web', 'true')
      assert.equal(execFolders(container), [basename(own)])
    }

    // Its memory is the container's: who goes over takes all of it along.
    await sandbox.run([
      'exec',
      'web',
      'sh',
      '-c',
      'dd if=/dev/zero bs=60M 2>/dev/null | sleep 100000',
    ])
    await heldEnded
    const row = await eventually('the container ends', async () => {
      const now = await rowOf(sandbox, 'web')
      return now.state === 'stopped' ? now : null
    })
    assert.equal([row.exitCode, row.oomKilled], [137, true])
    assert.not.ok(existsSync(container))
  },
)

const execs = async (sandbox: PakSandbox): Promise<readonly ExecUsage[]> => {
  const rows = await sandbox.json<readonly { readonly execs: readonly ExecUsage[] }[]>([
    'stats',
    '--no-stream',
  ])
  return rows.flatMap((row) => row.execs)
}

const execFolders = (container: string): readonly string[] =>
  readdirSync(container).filter((name) => name.startsWith('exec-'))

test.run()
