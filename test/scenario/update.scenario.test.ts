// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ask, asking } from '../support/asking.ts'
import { busyboxSandbox, fleetLacks, freePort, manifest } from '../support/fleet.ts'
import { historyText } from '../support/history.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'

const ANSWERS = 'echo $$VERSION > /tmp/index.html; exec httpd -f -p 80 -h /tmp'

interface Row {
  readonly container: string
  readonly pid: number | null
}

const HEALTHY = '[ $$VERSION != bad ] && busybox wget -q -O /dev/null http://127.0.0.1/'

/** Three replicas; `bad` never becomes healthy. */
const web = (port: number, version: string, action = 'rollback') =>
  manifest({
    web: {
      command: ['sh', '-c', ANSWERS],
      environment: { VERSION: version },
      // A request that is under way has its time to end.
      pre_stop: [{ command: ['sleep', '0.3'] }],
      stop_signal: 'SIGKILL',
      replicas: 3,
      ports: [`${port}:80`],
      // Healthy is who answers, not who is about to.
      healthcheck: {
        test: HEALTHY,
        interval: '100ms',
        retries: 2,
        start_period: '3s',
        start_interval: '100ms',
      },
      update_config: { parallelism: 1, failure_action: action },
    },
    side: { network_mode: 'service:web', stop_signal: 'SIGKILL' },
  })

testUnless(
  test,
  fleetLacks(),
  'replicas are replaced one by one behind their port, and what does not work goes back',
  async () => {
    await using pak = await busyboxSandbox()
    const port = await freePort()
    const up = async (version: string, action?: string) => {
      await pak.write('pak.yaml', web(port, version, action))
      return pak.run(['up', '-d'])
    }
    assert.is((await up('one')).exitCode, 0)
    const asked = asking(port)
    const updated = await up('two')
    assert.is(updated.exitCode, 0, updated.stderr)
    assert.equal(await versions(port), ['two'])

    const before = await pids(pak)
    const failed = await up('bad')
    assert.is(failed.exitCode, 1)
    assert.match(failed.stderr, /unhealthy/)
    assert.match(failed.stderr, /rolled back/)
    const after = await pids(pak)
    // The others were never touched.
    assert.equal([after[1], after[2]], [before[1], before[2]])
    assert.equal(await versions(port), ['two'])

    assert.is((await up('bad', 'pause')).exitCode, 1)
    assert.equal((await pids(pak)).slice(1), after.slice(1))
    await pak.ok(['rollback', 'web'])
    assert.equal(await versions(port), ['two'])

    assert.is((await up('three')).exitCode, 0)
    await pak.ok(['rollback'])
    assert.equal(await versions(port), ['two'])
    await pak.ok(['rollback'])
    assert.equal(await versions(port), ['three'])
    const { lost, answers } = await asked.end()
    assert.equal(lost, [])
    assert.ok(answers.size >= 3, [...answers].join())
    assert.not.ok(answers.has('bad'))
    const told = historyText(pak.root)
    for (const type of ['completed', 'failed', 'rolled_back']) assert.match(told, `update.${type}`)
    const none = await pak.run(['rollback', 'side'])
    assert.match(none.stderr, 'there is no version before')
  },
)

async function versions(port: number): Promise<readonly string[]> {
  const found = new Set<string>()
  for (let n = 0; n < 12; n += 1) found.add(await ask(port))
  return [...found].sort()
}

async function pids(pak: PakSandbox): Promise<readonly (number | null)[]> {
  const rows = await pak.json<readonly Row[]>(['ps', '-a'])
  return rows.flatMap(({ container, pid }) => (container.includes('-web-') ? [pid] : []))
}

test.run()
