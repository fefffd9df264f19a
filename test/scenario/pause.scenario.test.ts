import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { cgroupOf, labWith, lacksContainers, rowOf } from './lab.ts'

const COUNTS = `web:
  rootfs: ./rootfs
  stop_grace_period: 20s
  command: [sh, -c, 'trap "echo asked; exit 0" TERM; while :; do echo tick; sleep 0.05; done']
`

/** The kernel's own word, and how to change it behind pak's back. */
function freezer(pid: number): { frozen: () => boolean; set: (frozen: boolean) => void } {
  const folder = cgroupOf(pid, 'freezer')
  if (folder.startsWith('/sys/fs/cgroup/freezer/')) {
    const file = join(folder, 'freezer.state')
    return {
      frozen: () => readFileSync(file, 'utf8').trim() === 'FROZEN',
      set: (frozen) => writeFileSync(file, frozen ? 'FROZEN' : 'THAWED'),
    }
  }
  return {
    frozen: () => readFileSync(join(folder, 'cgroup.events'), 'utf8').includes('frozen 1'),
    set: (frozen) => writeFileSync(join(folder, 'cgroup.freeze'), frozen ? '1' : '0'),
  }
}

const state = async (pak: PakSandbox): Promise<string> => (await rowOf(pak, 'web')).state
const ticks = async (pak: PakSandbox): Promise<number> =>
  (await pak.ok(['logs', '--no-log-prefix'])).split('\n').length

testUnless(
  test,
  lacksContainers(),
  'paused: stands still, stays so over up, is seen by others, and stops',
  async () => {
    await using pak = await labWith('paktpause', COUNTS)
    await pak.ok(['up', '-d'])
    const { pid } = await rowOf(pak, 'web')
    const kernel = freezer(pid ?? 0)
    await eventually('it writes', async () => (await ticks(pak)) > 3)

    await pak.ok(['pause', 'web'])
    assert.ok(kernel.frozen())
    assert.is(await state(pak), 'paused')
    assert.match(await pak.ok(['ps']), /\(paused\)/)
    const before = await ticks(pak)
    const refused = await pak.run(['exec', 'web', 'true'])
    assert.is(refused.exitCode, 125)
    assert.match(refused.stderr, /paused/)
    assert.match(refused.stderr, /pak unpause web/)
    const again = await pak.run(['up', '-d'])
    assert.is(again.exitCode, 0)
    assert.match(again.stdout + again.stderr, /paused; pak unpause web/)
    assert.equal(await rowOf(pak, 'web').then((row) => [row.state, row.pid]), ['paused', pid])
    assert.is(await ticks(pak), before)

    await pak.ok(['unpause', 'web'])
    assert.not.ok(kernel.frozen())
    assert.is(await state(pak), 'running')
    await eventually('it goes on', async () => (await ticks(pak)) > before)

    kernel.set(true)
    await eventually('what another froze is seen', async () => (await state(pak)) === 'paused')
    await pak.ok(['stop', 'web'])
    const row = await rowOf(pak, 'web')
    assert.equal([row.state, row.exitCode], ['stopped', 0])
    assert.match(await pak.ok(['logs', '--no-log-prefix']), /asked/)

    await pak.ok(['start', 'web'])
    await pak.ok(['pause'])
    await pak.ok(['kill', 'web'])
    await eventually('SIGKILL reaches it', async () => (await rowOf(pak, 'web')).exitCode === 137)
    await pak.ok(['start', 'web'])
    await pak.ok(['pause'])
    await pak.ok(['down', '-t', '0'])
  },
)

test.run()
