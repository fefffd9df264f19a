// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  killed,
  manifest,
  pidOf,
  pids,
  ps,
} from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'
import { told } from './damage.ts'

const NETWORKS = ['fleet/default']
const TALKS = ['sh', '-c', 'while :; do echo tick; sleep 0.1; done']

testUnless(
  test,
  fleetLacks(),
  'a monitor that is killed takes what its container writes with it: a new run has another',
  async () => {
    await using pak = await busyboxSandbox()
    await pak.write('pak.yaml', manifest({ talks: { command: TALKS, stop_signal: 'SIGKILL' } }))
    await pak.ok(['up', '-d'])
    const before = await pidOf(pak, 'talks')
    await killed(monitorOf(before))
    await told(pak, /^container.started service\/talks\/1 its monitor was gone/)
    const after = await pidOf(pak, 'talks')
    assert.is.not(after, before)
    const said = (await pak.ok(['logs', 'talks'])).trim().split('\n').length
    await eventually('it is heard again', async () => {
      return (await pak.ok(['logs', 'talks'])).trim().split('\n').length > said + 2
    })
    await pak.ok(['down'])
    await nothingLeft(pak, NETWORKS)
  },
)

testUnless(
  test,
  fleetLacks(),
  'an end of which its monitor says nothing is found all the same, and no monitor stays behind',
  async () => {
    await using pak = await busyboxSandbox()
    const service = { stop_signal: 'SIGKILL', restart: 'always' }
    await pak.write('pak.yaml', manifest({ dead: service, hung: service }))
    await pak.ok(['up', '-d'])
    const before = await pids(pak)
    const monitors = new Map(Object.entries(before).map(([name, pid]) => [name, monitorOf(pid)]))
    process.kill(monitors.get('dead') ?? 0, 'SIGKILL')
    process.kill(monitors.get('hung') ?? 0, 'SIGSTOP')
    for (const pid of Object.values(before)) process.kill(pid, 'SIGKILL')
    await eventually('both run again', async () => {
      const now = await pids(pak)
      return ['dead', 'hung'].every((name) => now[name] !== undefined && now[name] !== before[name])
    })
    await eventually('the one that hung is gone', () => !livesAs(monitors.get('hung'), 'conmon'))
    const { hung = 0 } = await pids(pak)
    const monitor = monitorOf(hung)
    process.kill(monitor, 'SIGSTOP')
    await pak.ok(['down'])
    assert.not(livesAs(monitor, 'conmon'))
    await nothingLeft(pak, NETWORKS)
  },
)

testUnless(
  test,
  fleetLacks(),
  'who got the pid of a container that ended unseen is a stranger: not signalled, not taken for it',
  async () => {
    await using pak = await busyboxSandbox()
    await pak.write('pak.yaml', manifest({ app: { stop_signal: 'SIGKILL' } }))
    await pak.ok(['up', '-d'])
    const pid = await pidOf(pak, 'app')
    const { agent, supervisor } = await agentPids(pak)
    await killed(supervisor, agent, monitorOf(pid), pid)
    const stranger = await eventually('the pid is free, and given to another', () => reborn(pid))
    try {
      assert.is((await ps(pak))['app']?.state, 'stopped')
      await pak.ok(['up', '-d'])
      assert.is.not(await pidOf(pak, 'app'), pid)
      await pak.ok(['down'])
      await nothingLeft(pak, NETWORKS)
      assert.is(stranger.exitCode, null)
      assert.is(stranger.signalCode, null)
    } finally {
      stranger.kill('SIGKILL')
    }
  },
)

testUnless(
  test,
  fleetLacks(),
  'a runtime that hangs holds up nothing for good: an interrupt ends it, and all goes on afterwards',
  async () => {
    await using pak = await busyboxSandbox()
    const hangs = join(pak.folder, 'hangs')
    const hung = join(pak.folder, 'hung')
    const runtime = await pak.write(
      'slow-runtime',
      `#!/bin/sh
for word in "$@"; do
  if [ "$word" = create ] && [ -e '${hangs}' ]; then echo $$ >>'${hung}'; exec sleep 100000; fi
done
exec crun "$@"
`,
    )
    chmodSync(runtime, 0o755)
    writeFileSync(hangs, '')
    const service = { stop_signal: 'SIGKILL' }
    await pak.write('pak.yaml', manifest({ one: service, other: service }))
    const up = pak.start(['--runtime', runtime, 'up', '-d'])
    const ended = once(up, 'exit')
    const waiting = () => readFileSync(hung, 'utf8').trim().split('\n').map(Number)
    await eventually('both hang', () => waiting().length === 2)
    up.kill('SIGINT')
    assert.is((await ended)[0], 130)
    await eventually('they are gone', () => waiting().every((pid) => !livesAs(pid, 'sleep')))
    rmSync(hangs)
    await pak.ok(['up', '-d'])
    assert.equal(Object.keys(await pids(pak)).sort(), ['one', 'other'])
    await pak.ok(['down'])
    await nothingLeft(pak, NETWORKS)
  },
)

/** Says when it was asked to end, and does not. */
const deaf = (index: number) => [
  'sh',
  '-c',
  `trap "touch /asked/${index}" TERM; touch /asked/ready-${index}; while :; do sleep 0.1; done`,
]
const DEAF = 12
const GRACE_MS = 3_000

testUnless(
  test,
  fleetLacks(),
  'of many that do not listen each is asked before the first is killed: the longest grace, not the sum',
  async () => {
    await using pak = await busyboxSandbox()
    const asked = join(pak.folder, 'asked')
    mkdirSync(asked)
    const services = Array.from({ length: DEAF }, (_, index) => [
      `s${index}`,
      {
        command: deaf(index),
        stop_grace_period: `${GRACE_MS}ms`,
        volumes: ['./asked:/asked'],
        network_mode: 'none',
      },
    ])
    await pak.write('pak.yaml', manifest(Object.fromEntries(services)))
    await pak.ok(['up', '-d'])
    await eventually('all of them are deaf', () => readdirSync(asked).length === DEAF)
    await pak.ok(['down'])
    const times = Array.from(
      { length: DEAF },
      (_, index) => statSync(join(asked, String(index))).mtimeMs,
    )
    assert.ok(Math.max(...times) - Math.min(...times) < GRACE_MS)
    await nothingLeft(pak, [])
  },
)

function monitorOf(pid: number): number {
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  assert.ok(livesAs(parent, 'conmon'))
  return parent
}

/** A zombie has nothing left to do. */
function livesAs(pid: number | undefined, name: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.includes(`(${name})`) && !/\) [ZX]/.test(stat)
  } catch {
    return false
  }
}

/** A process of this very pid; null when another was quicker, or the pid is not free yet. */
function reborn(pid: number) {
  writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  if (child.pid === pid) return child
  child.kill('SIGKILL')
  return null
}

test.run()
