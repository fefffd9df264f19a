// alone: sets the clock
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { busyboxSandbox, fleetLacks, manifest, pidOf, ps } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'
import { memoryFile } from './damage.ts'

const DAY_MS = 86_400_000
const LIMIT = 32 * 2 ** 20
const isOwn = process.env['PAK_VM'] === '1'

testUnless(
  test,
  fleetLacks() ??
    (isOwn ? null : 'it sets the clock, which only the emulated machine has to itself'),
  'a clock that jumps, a day on or two back, holds up no restart, no check and no repair',
  async () => {
    await using pak = await busyboxSandbox()
    const quick = { stop_signal: 'SIGKILL' }
    const services = {
      crash: { ...quick, command: ['sh', '-c', 'sleep 1; exit 1'], restart: 'always' },
      well: {
        ...quick,
        command: ['sh', '-c', 'touch /tmp/well; exec sleep 100000'],
        limits: { memory: `${LIMIT}` },
        healthcheck: { test: ['CMD', 'test', '-e', '/tmp/well'], interval: '500ms', retries: 1 },
      },
    }
    const [wall, ticks] = [Date.now(), performance.now()]
    const setClock = (ms: number) => execFileSync('date', ['-s', `@${Math.floor(ms / 1000)}`])
    using _back = { [Symbol.dispose]: () => void setClock(wall + performance.now() - ticks) }
    await pak.write('pak.yaml', manifest(services))
    await pak.ok(['up', '-d'])
    await eventually('it is well', async () => (await ps(pak))['well']?.health === 'healthy')
    const pid = await pidOf(pak, 'well')
    for (const jump of [DAY_MS, -2 * DAY_MS]) {
      const before = (await ps(pak))['crash']?.restartCount ?? 0
      setClock(Date.now() + jump)
      const crashesOn = async () => ((await ps(pak))['crash']?.restartCount ?? 0) > before
      await eventually('it crashes on', crashesOn, { withinMs: 15_000 })
      writeFileSync(memoryFile(pid), String(2 * LIMIT))
      await eventually('the limit is back', () => {
        return readFileSync(memoryFile(pid), 'utf8').trim() === String(LIMIT)
      })
      const { well } = await ps(pak)
      assert.equal([well?.state, well?.health, well?.pid], ['running', 'healthy', pid])
      // Whoever fails now must be seen to.
      execFileSync('rm', [`/proc/${pid}/root/tmp/well`])
      await eventually(
        'it is unhealthy',
        async () => (await ps(pak))['well']?.health === 'unhealthy',
      )
      writeFileSync(`/proc/${pid}/root/tmp/well`, '')
      await eventually('it is healthy', async () => (await ps(pak))['well']?.health === 'healthy')
    }
    await pak.ok(['down'])
  },
)

test.run()
