// not in the emulated machine: nothing of it depends on cgroups, and it starts Node forty times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
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
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

testUnless(
  test,
  fleetLacks(),
  'two state roots with one project name do not touch each other',
  async () => {
    await using one = await busyboxSandbox()
    await using other = await busyboxSandbox()
    const ports = [await freePort(), await freePort()] as const
    for (const [index, sandbox] of [one, other].entries())
      await sandbox.write('pak.yaml', manifest({ web: web(`root ${index}`, ports[index] ?? 0) }))
    await Promise.all([one.ok(['up', '-d']), other.ok(['up', '-d'])])
    assert.is(await pageOf(ports[0]), 'root 0\n')
    assert.is(await pageOf(ports[1]), 'root 1\n')
    const before = await pids(other)
    await killed((await agentPids(one)).agent)
    await one.ok(['up', '-d', '--force-recreate', '-t', '0'])
    assert.equal(await pids(other), before)
    await one.ok(['down', '-v', '-t', '0'])
    await nothingLeft(one, ['fleet/default'])
    assert.equal(await pids(other), before)
    assert.is(await pageOf(ports[1]), 'root 1\n')
    assert.is((await other.run(['plan', '--detailed-exitcode'])).exitCode, 0)
    await other.ok(['down', '-t', '0'])
    await nothingLeft(other, ['fleet/default'])
  },
)

testUnless(
  test,
  fleetLacks(),
  'ten at once that change one project come one after the other, and the last one wins',
  async () => {
    await using sandbox = await busyboxSandbox()
    const files = await Promise.all(
      ['a', 'b'].map((label) =>
        sandbox.write(`${label}.yaml`, manifest({ one: { labels: { label } }, two: {} })),
      ),
    )
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        index % 3 === 2
          ? sandbox.run(['down', '-t', '0', '-p', 'fleet'])
          : sandbox.run(['up', '-d', '-t', '0', '-f', files[index % 2] ?? '']),
      ),
    )
    for (const { exitCode, stderr } of results) assert.is(exitCode, 0, stderr)
    await sandbox.ok(['up', '-d', '-t', '0', '-f', files[1] ?? ''])
    const rows = await ps(sandbox, '-p', 'fleet')
    assert.equal(
      Object.values(rows).map(({ service, state }) => `${service} ${state}`),
      ['one running', 'two running'],
    )
    const plan = ['plan', '--detailed-exitcode', '-f']
    assert.is((await sandbox.run([...plan, files[1] ?? ''])).exitCode, 0)
    assert.is((await sandbox.run([...plan, files[0] ?? ''])).exitCode, 2)
    await sandbox.ok(['down', '-t', '0', '-p', 'fleet'])
    await nothingLeft(sandbox, ['fleet/default'])
  },
)

testUnless(
  test,
  fleetLacks(),
  'up while the agent leaves after the last down finds an agent, again and again',
  async () => {
    await using sandbox = await busyboxSandbox()
    await sandbox.write('pak.yaml', manifest({ one: {} }))
    await sandbox.ok(['up', '-d'])
    for (let round = 0; round < 5; round += 1) {
      const [down, up] = await Promise.all([
        sandbox.run(['down', '-t', '0']),
        sandbox.run(['up', '-d']),
      ])
      assert.is(down.exitCode, 0, down.stderr)
      assert.is(up.exitCode, 0, up.stderr)
    }
    await sandbox.ok(['up', '-d'])
    await eventually('it runs', async () => (await ps(sandbox))['one']?.state === 'running')
    await sandbox.ok(['down', '-t', '0'])
    await nothingLeft(sandbox, ['fleet/default'])
  },
)

const web = (text: string, port: number) => ({
  command: ['sh', '-c', `echo ${text} > /tmp/index.html; exec httpd -f -p 80 -h /tmp`],
  ports: [`${port}:80`],
})

/** The port is open before the program behind it listens. */
const pageOf = (port: number): Promise<string> =>
  eventually(`a page on ${port}`, async () => (await fetch(`http://127.0.0.1:${port}/`)).text())

test.run()
