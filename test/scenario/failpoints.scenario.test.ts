// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node hundreds of times
import { test } from 'uvu'
import { boundaries, DOWN, dieAt, fleet, isWhole, UP } from '../support/failpoints.ts'
import { busyboxSandbox, fleetLacks, freePort } from '../support/fleet.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const NETWORKS = ['fleet/default']

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

test.run()
