// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node a hundred times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ask, asking } from '../support/asking.ts'
import { boundaries, killedAt, UP } from '../support/failpoints.ts'
import { busyboxSandbox, fleetLacks, freePort, manifest } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'

/** What is under way has its time to end. */
const fleet = (port: number, version: string) =>
  manifest({
    web: {
      command: ['sh', '-c', 'echo $$VERSION > /tmp/index.html; exec httpd -f -p 80 -h /tmp'],
      environment: { VERSION: version },
      ports: [`${port}:80`],
      healthcheck: { test: 'wget -q -O /dev/null http://127.0.0.1/', interval: '100ms' },
      pre_stop: [{ command: ['sleep', '0.3'] }],
      stop_signal: 'SIGKILL',
      update_config: { order: 'start-first', failure_action: 'rollback' },
    },
  })

testUnless(
  test,
  fleetLacks(),
  'killed at every boundary of an update that starts first, somebody answers all the time',
  async () => {
    await using pak = await busyboxSandbox()
    const port = await freePort()
    const change = (version: string) => pak.write('pak.yaml', fleet(port, version))
    await change('one')
    await pak.ok(UP)
    const asked = asking(port)
    await change('two')
    // They come one after the other: where one ends, the next one begins.
    for (const boundary of await boundaries(pak, UP, 'the begin of steps')) {
      const version = `after ${boundary}`
      await change(version)
      await killedAt(pak, boundary, UP)
      await pak.ok(UP)
      assert.is(await ask(port), version)
      // Nothing, so nobody stands in any more.
      const plan = await pak.run(['plan', '--detailed-exitcode'])
      assert.is(plan.exitCode, 0, `${version}: ${plan.stdout}`)
    }
    const { lost, answers } = await asked.end()
    assert.equal(lost, [])
    assert.ok(answers.size > 10, [...answers].join())
  },
)

test.run()
