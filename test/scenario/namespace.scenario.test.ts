// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { readlink } from 'node:fs/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { busyboxSandbox, fleetLacks, manifest, type Row } from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'

const KINDS = ['net', 'ipc', 'pid'] as const

/** Three that live in a namespace of the first of two. */
const fleet = (version: string, order = 'stop-first') =>
  manifest({
    web: {
      environment: { VERSION: version },
      restart: 'always',
      replicas: 2,
      update_config: { order, monitor: '0s' },
      ipc: 'shareable',
    },
    net: { network_mode: 'service:web', restart: 'always' },
    ipc: { ipc: 'service:web', restart: 'always' },
    pid: { pid: 'service:web', restart: 'always' },
  })

testUnless(
  test,
  fleetLacks(),
  'who lives in the namespaces of another moves with it: made anew, after a crash, in an update',
  async () => {
    await using pak = await busyboxSandbox()
    const up = async (version: string, order?: string) => {
      await pak.write('pak.yaml', fleet(version, order))
      await pak.ok(['up', '-d'])
      await together(pak)
    }
    await up('one')
    await up('two')
    await up('three', 'start-first')
    await pak.ok(['restart', 'web'])
    await together(pak)
    await pak.ok(['up', '-d', '--force-recreate', 'web'])
    await together(pak)

    const before = await pids(pak)
    process.kill(before.get('fleet-web-1') ?? 0, 'SIGKILL')
    await eventually('it runs again', async () => {
      const now = await pids(pak)
      return (
        KINDS.every((kind) => isNew(now, before, `fleet-${kind}-1`)) &&
        isNew(now, before, 'fleet-web-1')
      )
    })
    await together(pak)

    const then = await pids(pak)
    process.kill(then.get('fleet-web-2') ?? 0, 'SIGKILL')
    await eventually('the other one, too', async () => isNew(await pids(pak), then, 'fleet-web-2'))
    const last = await pids(pak)
    for (const kind of KINDS) assert.is(last.get(`fleet-${kind}-1`), then.get(`fleet-${kind}-1`))
    const plan = await pak.run(['plan', '--detailed-exitcode'])
    assert.is(plan.exitCode, 0, plan.stdout)
  },
)

type Pids = ReadonlyMap<string, number>

async function pids(pak: PakSandbox): Promise<Pids> {
  const rows = await pak.json<readonly Row[]>(['ps', '-a'])
  return new Map(rows.flatMap(({ container, pid }) => (pid === null ? [] : [[container, pid]])))
}

const isNew = (now: Pids, before: Pids, name: string): boolean =>
  now.has(name) && now.get(name) !== before.get(name)

async function together(pak: PakSandbox): Promise<void> {
  const now = await pids(pak)
  for (const kind of KINDS) {
    const [owner, guest] = await Promise.all(
      ['fleet-web-1', `fleet-${kind}-1`].map((name) =>
        readlink(`/proc/${now.get(name)}/ns/${kind}`),
      ),
    )
    assert.is(guest, owner, kind)
  }
}

test.run()
