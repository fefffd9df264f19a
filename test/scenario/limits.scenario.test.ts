// alone: measures shares of the CPU
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import {
  cgroupOf,
  inside,
  labWith,
  lacksContainers,
  memoryOf,
  pidOf,
  rowOf,
  writeProject,
} from './lab.ts'

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
    // As the container sees it, its own cgroup is the root. On v2 a session has one of its own below that.
    if (unified(process.pid)) assert.match(own, new RegExp(`^${others.trim()}exec-[0-9a-f]{16}\n$`))
    else assert.is(own, others)
    assert.match(first, '/pakt-excg/')
  },
)

testUnless(test, lacking, 'a limit that the file changes is changed in place', async () => {
  const busy = (limits: string) => `
busy:
  rootfs: ./rootfs
  command: [sh, -c, 'while :; do :; done']
  network_mode: none
  stop_grace_period: 0s
  limits: { ${limits} }
`
  await using sandbox = await labWith('pakt-live', busy('cpu: 25%, memory: 64M'))
  await sandbox.ok(['up', '-d'])
  const pid = await pidOf(sandbox, 'busy')
  const extra = unified(pid) ? 'memory_high: 48M' : 'swappiness: 10'
  const more = `cpu: 50%, cpu_burst: 5%, memory: 96M, memory_reservation: 32M, ${extra}`
  await writeProject(sandbox, 'pakt-live', busy(more))
  await sandbox.ok(['up', '-d'])
  assert.is(await pidOf(sandbox, 'busy'), pid)
  const percent = await percentOver([pid], 3000)
  assert.ok(percent >= 45 && percent <= 57, `${percent.toFixed(1)} %`)
  const value = (v1: string, v2: string) => cgroupValue(pid, unified(pid) ? v2 : v1)
  assert.is(value('memory.soft_limit_in_bytes', 'memory.low'), String(32 * MEBI))
  assert.is(value('memory.limit_in_bytes', 'memory.max'), String(96 * MEBI))
  // Without its parents' a reservation is worth nothing on v2.
  if (unified(pid)) assert.is(cgroupValue(pid, '../memory.low'), String(32 * MEBI))
  assert.is(value('cpu.cfs_burst_us', 'cpu.max.burst'), '5000')
  assert.is(value('memory.swappiness', 'memory.high'), unified(pid) ? String(48 * MEBI) : '10')
  await writeProject(sandbox, 'pakt-live', busy('cpu: 10%'))
  await sandbox.ok(['up', '-d'])
  assert.is(await pidOf(sandbox, 'busy'), pid)
  assert.is(value('cpu.cfs_quota_us', 'cpu.max').split(' ')[0], '10000')
  assert.is(value('cpu.cfs_burst_us', 'cpu.max.burst'), '0')
  assert.is.not(value('memory.limit_in_bytes', 'memory.max'), String(96 * MEBI))
  assert.is.not(value('memory.soft_limit_in_bytes', 'memory.low'), String(32 * MEBI))
  assert.is.not(value('memory.swappiness', 'memory.high'), unified(pid) ? String(48 * MEBI) : '10')
  const { steps } = await sandbox.json<{ steps: unknown[] }>(['plan'])
  assert.equal(steps, [])
})

testUnless(
  test,
  lacking,
  'a project’s ceiling holds for the sum, and moves both ways',
  async () => {
    const four = (ceiling: string, each: string) => `name: pakt-ceiling
limits: { ${ceiling} }
containers:
  busy:
    rootfs: ./rootfs
    replicas: 4
    command: [sh, -c, 'while :; do :; done']
    network_mode: none
    stop_grace_period: 0s
    limits: { ${each} }
`
    await using sandbox = await labWith('pakt-ceiling', '')
    await sandbox.write('pak.yaml', four('cpu: 50%', 'cpu: 40%'))
    await sandbox.ok(['up', '-d'])
    const pids = await pidsOf(sandbox)
    assert.is(pids.length, 4)
    const percent = await percentOver(pids, 4000)
    assert.ok(percent >= 45 && percent <= 55, `${percent.toFixed(1)} %`)
    // Below what the children have, and up again, past what the parent has had.
    for (const [ceiling, each] of [
      ['cpu: 20%, cpuset: "0"', 'cpu: 10%, cpuset: "0"'],
      ['cpu: 150%', 'cpu: 100%'],
      ['cpu: 30%, memory: 256M', 'pids: 50'],
    ] as const) {
      await sandbox.write('pak.yaml', four(ceiling, each))
      await sandbox.ok(['up', '-d'])
      assert.equal(await pidsOf(sandbox), pids)
      const { steps } = await sandbox.json<{ steps: unknown[] }>(['plan'])
      assert.equal(steps, [])
    }
    const held = await percentOver(pids, 3000)
    assert.ok(held >= 25 && held <= 35, `${held.toFixed(1)} %`)
  },
)

testUnless(
  test,
  lacking,
  'what this host cannot hold is refused before anything is done',
  async () => {
    const asking = (limits: string) => `
x:
  rootfs: ./rootfs
  command: [sleep, '100']
  network_mode: none
  stop_grace_period: 0s
  limits: { ${limits} }
`
    await using sandbox = await labWith('pakt-refuse', asking('cpuset: "900"'))
    const refusal = async (limits: string) => {
      await writeProject(sandbox, 'pakt-refuse', asking(limits))
      const { exitCode, stderr } = await sandbox.run(['plan'])
      assert.is(exitCode, 1, limits)
      return stderr
    }
    assert.match(await refusal('cpuset: "900"'), /cannot enforce cpuset 900: it has no CPU 900/)
    assert.match(await refusal('io: [{ path: /proc, read_bps: 1M }]'), /on proc, which has no disk/)
    assert.match(await refusal('io: [{ device: /dev/null, read_bps: 1M }]'), /not a block device/)
    assert.match(await refusal('io: [{ path: /no/such, read_bps: 1M }]'), /no such file or folder/)
    assert.match(await refusal('io_weight: 200'), /io_weight: .*bfq/)
    const unifiedHost = unified(process.pid)
    assert.match(
      await refusal(unifiedHost ? 'swappiness: 10' : 'memory_high: 48M'),
      unifiedHost ? /cgroup v2 has none/ : /cgroup v1 has no such limit/,
    )
    assert.match(await refusal('hugepages: { 512MB: 512M }'), /cannot enforce hugepages/)
  },
)

testUnless(test, lacking, 'the disk below a path is slowed down, or there is none', async () => {
  const reader = (limits: string) => `
reader:
  rootfs: ./rootfs
  command: [sleep, '1000']
  network_mode: none
  stop_grace_period: 0s
  limits: { ${limits} }
`
  const speeds = 'io: [{ path: ., read_bps: 2M, write_iops: 7 }]'
  await using sandbox = await labWith('pakt-io', reader(speeds))
  const { exitCode, stderr } = await sandbox.run(['up', '-d'])
  if (exitCode !== 0) {
    // The emulated machine has its files from 9p and memory.
    assert.match(stderr, /limit the disk of .*: it is on \w+, which has no disk of its own/)
    return
  }
  const pid = await pidOf(sandbox, 'reader')
  const rows = () => {
    if (unified(pid)) return cgroupValue(pid, 'io.max')
    const files = ['read_bps', 'write_iops'].map((name) => `blkio.throttle.${name}_device`)
    return files.map((file) => cgroupValue(pid, file)).join(' ')
  }
  assert.match(rows(), /^\d+:\d+ .*2097152.*\b7\b/)
  await writeProject(sandbox, 'pakt-io', reader('io: [{ path: ., read_bps: 1M }]'))
  await sandbox.ok(['up', '-d'])
  assert.match(rows(), /^\d+:\d+ \D*1048576\D*$/)
  await writeProject(sandbox, 'pakt-io', reader('pids: 50'))
  await sandbox.ok(['up', '-d'])
  assert.is(rows().trim(), '')
  assert.is(await pidOf(sandbox, 'reader'), pid)
})

testUnless(test, lacking, 'with `oom: process` only the process goes', async () => {
  const service = hog('exec sleep 1000').replace('swap: 0', 'swap: 0, oom: process')
  await using sandbox = await labWith('pakt-oomproc', service)
  await sandbox.ok(['up', '-d'])
  const pid = await pidOf(sandbox, 'hog')
  assert.is(
    (await inside(sandbox, 'hog', 'tail /dev/zero; echo ended $?')).stdout.trim(),
    'ended 137',
  )
  assert.is(await pidOf(sandbox, 'hog'), pid)
})

/** Whether this process's memory is limited by cgroup v2. */
const unified = (pid: number) => !cgroupOf(pid, 'memory').startsWith('/sys/fs/cgroup/memory/')

function cgroupValue(pid: number, file: string): string {
  const controller = file.replace('../', '').split('.')[0] ?? ''
  return readFileSync(join(cgroupOf(pid, controller), file), 'utf8').trim()
}

async function pidsOf(sandbox: PakSandbox): Promise<readonly number[]> {
  const rows = await sandbox.json<{ pid: number; id: string }[]>(['ps'])
  return rows.map(({ pid }) => pid).sort((a, b) => a - b)
}

/** What these processes use together of one CPU while somebody looks. */
async function percentOver(pids: readonly number[], ms: number): Promise<number> {
  const used = () => pids.reduce((sum, pid) => sum + cpuTicks(pid), 0)
  const [from, before] = [performance.now(), used()]
  await sleep(ms)
  const seconds = (performance.now() - from) / 1000
  return ((used() - before) / TICKS_PER_SECOND / seconds) * 100
}

/** User and system time of a process, from proc(5); its name may hold anything but ends with the last `)`. */
function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

test.run()
