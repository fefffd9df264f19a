// alone: measures shares of the CPU
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { testUnless } from '../support/skip.ts'
import { inside, labWith, lacksContainers, pidOf } from './lab.ts'

const lacking = lacksContainers()
const MEBI = 1024 * 1024

interface Usage {
  readonly scope: string
  readonly service: string | null
  readonly container: string | null
  readonly cpuPercent: number
  readonly throttledUsec: number
  readonly memoryBytes: number
  readonly memoryPeakBytes: number
  readonly memoryLimitBytes: number | null
  readonly pids: number
  readonly oomKills: number
}

interface Process {
  readonly pid: number
  readonly containerPid: number
  readonly user: string
  readonly memoryBytes: number
  readonly exec: boolean
  readonly command: string
}

const PROJECT = `
busy:
  rootfs: ./rootfs
  command: [sh, -c, 'while :; do :; done']
  network_mode: none
  stop_grace_period: 0s
  limits: { cpu: 25%, memory: 96M, pids: 20 }
idle:
  rootfs: ./rootfs
  command: [sleep, '100000']
  network_mode: none
  replicas: 2
  stop_grace_period: 0s
`

// One project for all of it: this also runs where starting Node takes seconds.
testUnless(test, lacking, 'what stats and top say is what there is', async () => {
  await using sandbox = await labWith('pakt-stats', PROJECT)
  await sandbox.ok(['up', '-d'])
  const look = () => sandbox.json<readonly Usage[]>(['stats', '--no-stream', '--total'])
  // The bound is part of what is promised, and the first periods of a container are not whole.
  const rows = await eventually('a quarter of a CPU', async () => {
    const found = await look()
    const percent = row(found, 'pakt-stats-busy-1').cpuPercent
    if (percent < 22 || percent > 28) throw new Error(`${percent} %`)
    return found
  })
  const busy = row(rows, 'pakt-stats-busy-1')
  assert.ok(busy.throttledUsec > 0)
  assert.is(busy.memoryLimitBytes, 96 * MEBI)
  for (const { memoryBytes, memoryPeakBytes } of rows) {
    assert.ok(memoryBytes > 0)
    assert.ok(memoryPeakBytes >= memoryBytes)
  }
  const [idle, whole] = rows.filter(({ scope }) => scope !== 'container')
  assert.equal([idle?.service, idle?.pids, whole?.scope, whole?.pids], ['idle', 2, 'project', 3])
  assert.ok((whole?.cpuPercent ?? 0) >= 20)

  const held = sandbox.start([
    ...['exec', 'busy', 'sh', '-c'],
    'dd if=/dev/zero bs=40M 2>/dev/null | sleep 100000',
  ])
  const ended = new Promise((resolve) => held.once('close', resolve))
  await eventually('40 MiB more', async () => {
    const now = row(await look(), 'pakt-stats-busy-1')
    return now.memoryBytes - busy.memoryBytes >= 40 * MEBI
  })
  const processes = await sandbox.json<readonly Process[]>(['top', 'busy'])
  assert.equal(
    processes.filter(({ exec }) => !exec).map(({ pid }) => pid),
    [await pidOf(sandbox, 'busy')],
  )
  const [loop] = processes.filter(({ containerPid }) => containerPid === 1)
  assert.is(loop?.command, 'sh -c while :; do :; done')
  const hog = processes.find(({ memoryBytes }) => memoryBytes >= 40 * MEBI)
  assert.is(hog?.exec, true, JSON.stringify(processes))
  await inside(sandbox, 'busy', 'killall sleep dd')
  await ended
})

function row(rows: readonly Usage[], container: string): Usage {
  const found = rows.find((one) => one.container === container)
  if (found === undefined) throw new Error(`${container}: not in stats`)
  return found
}

test.run()
