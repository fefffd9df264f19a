// not in the emulated machine: the limits are tested there, and a fork bomb in it takes minutes
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { busyboxSandbox, fleetLacks, manifest, pidOf, ps } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'
import { cgroupOf, tell } from './lab.ts'

const PROCESSES = 40
const FILES = 100
const KEEPS_ON = 'exec sleep 100000'

/** Each takes as much as it gets of one thing. */
const HOGS = {
  forks: {
    // Whoever cannot fork ends: the first process only sleeps.
    command: ['sh', '-c', `b() { b | b & }; (while :; do b; done) & ${KEEPS_ON}`],
    limits: { pids: PROCESSES, memory: '64M', cpu: '50%' },
  },
  memory: { command: ['tail', '/dev/zero'], limits: { memory: '32M', pids: 10 } },
  files: {
    command: ['sh', '-c', `tail -f $$(yes /dev/null | head -n 1000) 2>/tmp/said & ${KEEPS_ON}`],
    ulimits: { nofile: FILES },
    limits: { memory: '64M', pids: 10 },
  },
  space: {
    command: ['sh', '-c', `for at in /fill /dev/shm; do cat /dev/zero >$$at/x; done; ${KEEPS_ON}`],
    tmpfs: ['/fill:size=8M'],
    shm_size: '4M',
    limits: { memory: '64M', pids: 10 },
  },
}
const NEIGHBOUR = {
  command: ['sh', '-c', `touch /tmp/well; ${KEEPS_ON}`],
  healthcheck: {
    test: ['CMD', 'test', '-e', '/tmp/well'],
    interval: '200ms',
    timeout: '5s',
    retries: 3,
  },
  limits: { memory: '32M', pids: 20 },
}

testUnless(
  test,
  fleetLacks(),
  'who takes all processes, memory, descriptors or space gets what was agreed; a neighbour stays well',
  async () => {
    await using pak = await busyboxSandbox()
    const quick = Object.entries({ ...HOGS, neighbour: NEIGHBOUR }).map(([name, keys]) => [
      name,
      { ...keys, stop_signal: 'SIGKILL' },
    ])
    await pak.write('pak.yaml', manifest(Object.fromEntries(quick)))
    await pak.ok(['up', '-d'])
    const neighbour = await pidOf(pak, 'neighbour')

    const bomb = cgroupOf(await pidOf(pak, 'forks'), 'pids')
    await eventually('forks are refused', () => countOf(bomb, 'pids.events') > 0)
    assert.ok(Number(readFileSync(join(bomb, 'pids.current'), 'utf8')) <= PROCESSES)
    await eventually('the kernel ends the one that takes memory', async () => {
      const { memory } = await ps(pak)
      return memory?.state === 'stopped' && memory.exitCode === 137
    })
    await eventually('files are refused', async () =>
      (await tell(pak, 'files', 'cat /tmp/said')).includes('Too many open files'),
    )
    const files = await pidOf(pak, 'files')
    for (const pid of processesOf(files))
      assert.ok(readdirSync(`/proc/${pid}/fd`).length <= FILES, String(pid))
    await eventually('both are full', async () => {
      const sizes = await tell(pak, 'space', 'stat -c %s /fill/x /dev/shm/x')
      return sizes === `${8 * 2 ** 20}\n${4 * 2 ** 20}`
    })

    assert.is((await ps(pak))['neighbour']?.health, 'healthy')
    assert.is(await pidOf(pak, 'neighbour'), neighbour)
    assert.is(await tell(pak, 'neighbour', 'echo here'), 'here')
    await pak.ok(['down'])
    await nothingLeft(pak, ['fleet/default'])
  },
)

/** `max` of a file of counters. */
const countOf = (cgroup: string, file: string): number =>
  Number(/^max (\d+)$/m.exec(readFileSync(join(cgroup, file), 'utf8'))?.[1])

const processesOf = (pid: number): readonly string[] =>
  readFileSync(join(cgroupOf(pid, 'pids'), 'cgroup.procs'), 'utf8')
    .trim()
    .split('\n')

test.run()
