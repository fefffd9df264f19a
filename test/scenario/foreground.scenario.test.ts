// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { once } from 'node:events'
import { rename, rm } from 'node:fs/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  killed,
  manifest,
  ps,
  type Service,
} from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const saying = (text: string): readonly string[] => [
  'sh',
  '-c',
  `trap "exit 0" TERM; echo ${text}; while :; do sleep 100 & wait; done`,
]

testUnless(
  test,
  fleetLacks(),
  'up in the foreground merges logs; ^C stops everything',
  async () => {
    await using sandbox = await busyboxSandbox()
    await using up = await foreground(sandbox, {
      one: { command: saying('first') },
      two: { command: saying('second') },
    })
    await eventually(
      'both speak',
      () => /one.*first/.test(up.text()) && /two.*second/.test(up.text()),
    )
    up.interrupt()
    assert.is(await up.status, 130)
    const rows = await ps(sandbox)
    assert.equal(
      Object.values(rows).map(({ state, exitCode }) => `${state} ${exitCode}`),
      ['stopped 0', 'stopped 0'],
    )
    await sandbox.ok(['down'])
    await nothingLeft(sandbox, ['fleet/default'])
  },
)

testUnless(test, fleetLacks(), 'a second ^C kills what does not listen', async () => {
  await using sandbox = await busyboxSandbox()
  const deaf = {
    command: ['sh', '-c', 'trap "" TERM; echo deaf; sleep 600'],
    stop_grace_period: '10m',
    restart: 'always',
  }
  await using up = await foreground(sandbox, { base: deaf, top: { ...deaf, depends_on: ['base'] } })
  await eventually('both speak', () => /base.*deaf/.test(up.text()) && /top.*deaf/.test(up.text()))
  up.interrupt()
  await eventually('it stops', () => up.text().includes('again to kill'))
  up.interrupt()
  assert.is(await up.status, 130)
  const ends = Object.values(await ps(sandbox)).map(({ state, exitCode }) => `${state} ${exitCode}`)
  assert.equal(ends, ['stopped 137', 'stopped 137'])
  await sandbox.ok(['down', '-t', '0'])
  await nothingLeft(sandbox, ['fleet/default'])
})

testUnless(
  test,
  fleetLacks(),
  'up in the foreground goes on when the agent is killed, and ends with the last container',
  async () => {
    await using sandbox = await busyboxSandbox()
    await using up = await foreground(sandbox, {
      brief: { command: ['sh', '-c', 'until [ -e /tmp/end ]; do sleep 0.1; done; echo bye'] },
    })
    await eventually('it runs', async () => (await ps(sandbox))['brief']?.state === 'running')
    await killed((await agentPids(sandbox)).agent)
    await sandbox.ok(['exec', 'brief', 'touch', '/tmp/end'])
    assert.is(await up.status, 0)
    assert.match(up.text(), /brief.*bye/)
  },
)

testUnless(test, fleetLacks(), 'the project folder may go: down needs only the name', async () => {
  await using sandbox = await busyboxSandbox()
  const file = await sandbox.write('pak.yaml', manifest({ one: {} }))
  await sandbox.ok(['up', '-d'])
  await rm(file)
  await rename(`${sandbox.folder}/rootfs`, `${sandbox.folder}/elsewhere`)
  await killed((await agentPids(sandbox)).agent)
  assert.is((await ps(sandbox, '-p', 'fleet'))['one']?.state, 'running')
  await sandbox.ok(['down', '-t', '0', '-p', 'fleet'])
  await nothingLeft(sandbox, ['fleet/default'])
})

interface Foreground extends AsyncDisposable {
  readonly text: () => string
  readonly interrupt: () => void
  readonly status: Promise<number | null>
}

async function foreground(
  sandbox: PakSandbox,
  services: Readonly<Record<string, Service>>,
): Promise<Foreground> {
  await sandbox.write('pak.yaml', manifest(services))
  const child = sandbox.start(['up'])
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
  const status = once(child, 'close').then(([code]) => code as number | null)
  return {
    text: () => text,
    interrupt: () => void child.kill('SIGINT'),
    status,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await status
    },
  }
}

test.run()
