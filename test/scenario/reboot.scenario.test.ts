// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { layoutOf } from '../../src/executor/linux/layout.ts'
import { bridgeName } from '../../src/network/bridge.ts'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  freePort,
  killed,
  manifest,
  pids,
  ps,
} from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

testUnless(
  test,
  fleetLacks(),
  'after a reboot ps tells what was, the agent brings back what restarts, up the rest',
  async () => {
    await using sandbox = await busyboxSandbox()
    const port = await freePort()
    const services = {
      web: {
        command: ['sh', '-c', 'echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp'],
        ports: [`${port}:80`],
        restart: 'always',
      },
      plain: {},
      stopped: { restart: 'unless-stopped' },
      done: { command: ['true'] },
    }
    await sandbox.write('pak.yaml', manifest(services))
    await sandbox.ok(['up', '-d'])
    await sandbox.ok(['stop', '-t', '0', 'stopped'])
    await eventually('it is done', async () => (await ps(sandbox))['done']?.state === 'stopped')
    await reboot(sandbox, ['fleet/default'])

    const rows = await ps(sandbox)
    assert.equal(Object.keys(rows).sort(), ['done', 'plain', 'stopped', 'web'])
    assert.is(rows['done']?.exitCode, 0)
    assert.is.not(rows['plain']?.exitCode, 0)
    await eventually('web is back', async () => (await ps(sandbox))['web']?.state === 'running')
    const page = () => fetch(`http://127.0.0.1:${port}/`).then((response) => response.text())
    assert.is(await eventually('its page', page), 'hello\n')
    assert.is((await ps(sandbox))['stopped']?.state, 'stopped')

    await sandbox.ok(['up', '-d'])
    const running = Object.keys(await pids(sandbox)).sort()
    assert.equal(running, ['plain', 'stopped', 'web'])
    const name = ['exec', 'plain', 'wget', '-qO-', 'http://web/']
    assert.is(await sandbox.ok(name), 'hello\n')
    await sandbox.ok(['down', '-t', '0'])
    await nothingLeft(sandbox, ['fleet/default'])
  },
)

testUnless(test, fleetLacks(), 'down after a reboot leaves nothing', async () => {
  await using sandbox = await busyboxSandbox()
  await sandbox.write('pak.yaml', manifest({ a: { restart: 'always' }, b: {} }))
  await sandbox.ok(['up', '-d'])
  await reboot(sandbox, ['fleet/default'])
  await sandbox.ok(['down', '-t', '0'])
  await nothingLeft(sandbox, ['fleet/default'])
})

/** Each is healthy a moment after it began, and the next waits for that. */
const CHAIN = Object.fromEntries(
  ['a', 'b', 'c', 'd', 'e'].map((name, index, names) => [
    name,
    {
      command: ['sh', '-c', 'rm -f /tmp/up; (sleep 0.3; touch /tmp/up) & exec sleep 100000'],
      restart: 'always',
      stop_signal: 'SIGKILL',
      healthcheck: {
        test: ['CMD', 'test', '-e', '/tmp/up'],
        interval: '200ms',
        start_period: '5s',
        start_interval: '200ms',
      },
      ...(index === 0
        ? {}
        : {
            depends_on: {
              [names[index - 1] ?? '']: { condition: 'service_healthy', restart: true },
            },
          }),
    },
  ]),
)

testUnless(
  test,
  fleetLacks(),
  'a chain of healthy services starts in order: at first, after a reboot, after a crash of the first',
  async () => {
    await using sandbox = await busyboxSandbox()
    await sandbox.write('pak.yaml', manifest(CHAIN))
    const inOrder = async () => {
      const rows = Object.values(await ps(sandbox))
      for (const { service, state, health } of rows)
        assert.is(`${service} ${state} ${health}`, `${service} running healthy`)
      const begun = rows.sort(
        (x, y) => Date.parse(x.startedAt ?? '') - Date.parse(y.startedAt ?? ''),
      )
      assert.equal(
        begun.map(({ service }) => service),
        Object.keys(CHAIN),
      )
      const times = begun.map(({ startedAt }) => Date.parse(startedAt ?? ''))
      for (const [index, time] of times.entries())
        assert.ok(time - (times[index - 1] ?? 0) >= 300, 'none before the one before was healthy')
      return pids(sandbox)
    }
    await sandbox.ok(['up', '-d'])
    const first = await eventually('the chain', inOrder)
    await reboot(sandbox, ['fleet/default'])
    await sandbox.ok(['agent', 'start'])
    const second = await eventually('the chain after a reboot', inOrder, { withinMs: 30_000 })
    process.kill(second['a'] ?? 0, 'SIGKILL')
    const third = await eventually(
      'the chain after a crash',
      async () => {
        const now = await inOrder()
        for (const name of Object.keys(CHAIN))
          assert.is.not(now[name], second[name], `${name} is another`)
        return now
      },
      { withinMs: 30_000 },
    )
    assert.is(new Set([first, second, third].flatMap((now) => Object.values(now))).size, 15)
  },
)

/** What a power cut leaves of a state root: its files, and nothing in the kernel or under the run root. */
async function reboot(sandbox: PakSandbox, networks: readonly string[]): Promise<void> {
  const { agent, supervisor } = await agentPids(sandbox)
  const monitors = processesNaming(sandbox.runRoot).filter((pid) => pid !== supervisor)
  const containers = Object.values(await pids(sandbox))
  await killed(supervisor, agent)
  for (const pid of monitors) if (pid !== agent) await killed(pid).catch(() => {})
  await killed(...containers)
  const layout = layoutOf(sandbox)
  spawnSync('nft', ['delete', 'table', 'inet', layout.table])
  for (const network of networks)
    execFileSync('ip', ['link', 'del', bridgeName(layout.seed(...network.split('/')))])
  await eventually('no cgroup', () => removeCgroups(layout.cgroupParent))
  await rm(sandbox.runRoot, { recursive: true, force: true })
}

function processesNaming(path: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && namesIt(name, path))
    .map(Number)
}

function namesIt(pid: string, path: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path)
  } catch {
    return false
  }
}

/** Throws while something in it still ends. */
function removeCgroups(parent: string): boolean {
  const top = '/sys/fs/cgroup'
  for (const name of ['', ...readdirSync(top)]) {
    const folder = join(top, name, parent)
    if (existsSync(folder)) execFileSync('find', [folder, '-depth', '-type', 'd', '-delete'])
  }
  return true
}

test.run()
