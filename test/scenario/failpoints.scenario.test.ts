// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node hundreds of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { boundaries, killedAt } from '../support/failpoints.ts'
import { busyboxSandbox, fleetLacks, freePort, manifest, pids } from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const NETWORKS = ['fleet/default']

/** Two services, one of which needs the other; `version` makes one of them new. */
const fleet = (port: number, version = 'one', more: Readonly<Record<string, unknown>> = {}) =>
  manifest({
    web: {
      ...more,
      command: ['sh', '-c', 'echo $$VERSION > /tmp/index.html; exec httpd -f -p 80 -h /tmp'],
      stop_signal: 'SIGKILL',
      environment: { VERSION: version },
      ports: [`${port}:80`],
      restart: 'always',
      depends_on: ['db'],
    },
    db: { stop_signal: 'SIGKILL', restart: 'always' },
    other: { stop_signal: 'SIGKILL', restart: 'always' },
  })

/** One after the other. */
const BATCHES = { replicas: 2, update_config: { monitor: '0s', failure_action: 'rollback' } }

const UP = ['up', '-d']
const DOWN = ['down', '-t', '0']

testUnless(test, fleetLacks(), 'killed at every boundary of up, it converges', async () => {
  await using sandbox = await busyboxSandbox()
  const port = await freePort()
  await sandbox.write('pak.yaml', fleet(port))
  for (const boundary of await boundaries(sandbox, UP)) {
    await sandbox.ok(DOWN)
    await nothingLeft(sandbox, NETWORKS)
    const running = await dieAt(sandbox, boundary, UP)
    await sandbox.ok(UP)
    await isWhole(sandbox, { port, version: 'one', running, boundary })
  }
  await sandbox.ok(DOWN)
  await nothingLeft(sandbox, NETWORKS)
})

testUnless(test, fleetLacks(), 'killed at every boundary of an update, too', async () => {
  await using sandbox = await busyboxSandbox()
  const port = await freePort()
  let version = 'one'
  const change = async (to: string) => {
    version = to
    await sandbox.write('pak.yaml', fleet(port, version, BATCHES))
  }
  await change('one')
  await sandbox.ok(UP)
  await change('two')
  for (const boundary of await boundaries(sandbox, UP)) {
    await change(`after ${boundary}`)
    const { db, other } = await pids(sandbox)
    const running = await dieAt(sandbox, boundary, UP)
    await sandbox.ok(UP)
    await isWhole(sandbox, { port, version, running: { ...running, db, other }, boundary })
  }
})

testUnless(test, fleetLacks(), 'killed at every boundary of down, the rest goes', async () => {
  await using sandbox = await busyboxSandbox()
  await sandbox.write('pak.yaml', fleet(await freePort()))
  await sandbox.ok(UP)
  for (const boundary of await boundaries(sandbox, DOWN)) {
    await sandbox.ok(UP)
    await dieAt(sandbox, boundary, DOWN)
    // By itself: nobody has to ask for it again.
    await nothingLeft(sandbox, NETWORKS)
  }
})

/** The pids of what runs after the kill, which nobody has a reason to end. */
async function dieAt(
  sandbox: PakSandbox,
  boundary: number,
  command: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  await killedAt(sandbox, boundary, command)
  return command === DOWN ? {} : pids(sandbox)
}

interface Whole {
  readonly port: number
  readonly version: string
  readonly running: Readonly<Record<string, number | undefined>>
  readonly boundary: number
}

async function isWhole(sandbox: PakSandbox, { port, version, running, boundary }: Whole) {
  const now = await pids(sandbox)
  assert.equal(Object.keys(now).sort(), ['db', 'other', 'web'], `after ${boundary}`)
  for (const [service, pid] of Object.entries(running))
    if (service !== 'web' && pid !== undefined)
      assert.is(now[service], pid, `${service} was restarted after ${boundary}`)
  const page = await (await fetch(`http://127.0.0.1:${port}/`)).text()
  assert.is(page, `${version}\n`, `after ${boundary}`)
  const plan = await sandbox.run(['plan', '--detailed-exitcode'])
  assert.is(plan.exitCode, 0, `after ${boundary}: ${plan.stdout}`)
}

test.run()
