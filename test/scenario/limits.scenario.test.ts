import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { testUnless } from '../support/skip.ts'
import { inside, labWith, lacksContainers, memoryOf, pidOf, rowOf } from './lab.ts'

const lacking = lacksContainers()
const MEBI = 1024 * 1024
/** USER_HZ is 100 on every architecture that Linux has today. */
const TICKS_PER_SECOND = 100

testUnless(test, lacking, 'a quarter of a CPU is a quarter of a CPU', async () => {
  await using sandbox = await labWith(
    'pakt-cpu',
    `
busy:
  rootfs: ./rootfs
  command: [sh, -c, 'while :; do :; done']
  network_mode: none
  limits: { cpu: 25% }
`,
  )
  await sandbox.ok(['up', '-d'])
  const pid = await pidOf(sandbox, 'busy')
  // The bound is part of what is promised: 25 % of one CPU, seen over five seconds.
  const [from, before] = [performance.now(), cpuTicks(pid)]
  await sleep(5000)
  const seconds = (performance.now() - from) / 1000
  const percent = ((cpuTicks(pid) - before) / TICKS_PER_SECOND / seconds) * 100
  assert.ok(percent >= 22 && percent <= 28, `${percent.toFixed(1)} %`)
})

// `dd` reads one block into a buffer of its own and then stands before a full pipe: it holds just that much.
const holding = (size: string) => `dd if=/dev/zero bs=${size} 2>/dev/null | sleep 100`
const hog = (script: string) => `
hog:
  rootfs: ./rootfs
  command: [sh, -c, '${script}']
  network_mode: none
  stop_grace_period: 0s
  limits: { memory: 64M, swap: 0 }
`

testUnless(test, lacking, 'who takes more memory than there is goes, as a whole', async () => {
  await using sandbox = await labWith('pakt-mem', hog(holding('200M')))
  await sandbox.ok(['up', '-d'])
  await eventually('the container ends', async () => {
    const { state } = await rowOf(sandbox, 'hog')
    return state !== 'running'
  })
  const { exitCode, oomKilled } = await rowOf(sandbox, 'hog')
  assert.equal({ exitCode, oomKilled }, { exitCode: 137, oomKilled: true })
})

testUnless(test, lacking, 'what exec starts counts as the container’s memory', async () => {
  await using sandbox = await labWith('pakt-exmem', hog('exec sleep 1000'))
  await sandbox.ok(['up', '-d'])
  const pid = await pidOf(sandbox, 'hog')
  const before = memoryOf(pid)
  const held = sandbox.start(['exec', 'hog', 'sh', '-c', holding('40M')])
  const ended = new Promise((resolve) => held.once('close', resolve))
  await eventually('40 MiB more', () => memoryOf(pid) - before >= 40 * MEBI)
  await sandbox.ok(['kill', 'hog'])
  await ended
})

testUnless(test, lacking, 'exec of a hog ends with 137, and so does the container', async () => {
  await using sandbox = await labWith('pakt-exoom', hog('exec sleep 1000'))
  await sandbox.ok(['up', '-d'])
  const { exitCode: status } = await inside(sandbox, 'hog', holding('200M'))
  assert.is(status, 137)
  await eventually('the container ends', async () => {
    const { state } = await rowOf(sandbox, 'hog')
    return state !== 'running'
  })
  const { exitCode, oomKilled } = await rowOf(sandbox, 'hog')
  assert.equal({ exitCode, oomKilled }, { exitCode: 137, oomKilled: true })
})

testUnless(
  test,
  lacking,
  'exec is in the container’s cgroup from the first instruction',
  async () => {
    await using sandbox = await labWith('pakt-excg', hog('exec sleep 1000'))
    await sandbox.ok(['up', '-d'])
    const first = readFileSync(`/proc/${await pidOf(sandbox, 'hog')}/cgroup`, 'utf8')
    // No shell in between: the program itself reads where it is, before anybody could have moved it.
    const own = await sandbox.ok(['exec', 'hog', 'cat', '/proc/self/cgroup'])
    const others = await sandbox.ok(['exec', 'hog', 'cat', '/proc/1/cgroup'])
    assert.is(own, others)
    assert.match(first, '/pakt-excg/')
  },
)

/** User and system time of a process, from proc(5); its name may hold anything but ends with the last `)`. */
function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

test.run()
