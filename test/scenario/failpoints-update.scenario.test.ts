// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node hundreds of times
import { test } from 'uvu'
import { boundaries, dieAt, fleet, isWhole, UP } from '../support/failpoints.ts'
import { busyboxSandbox, fleetLacks, freePort, pids } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'

/** One after the other. */
const BATCHES = { replicas: 2, update_config: { monitor: '0s', failure_action: 'rollback' } }

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

test.run()
