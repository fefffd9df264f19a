// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testUnless } from '../support/skip.ts'
import { lacking, SLEEPS, stage } from './stage.ts'

testUnless(test, lacking, 'what is in a volume outlives down, and goes with down -v', async () => {
  await using pak = await stage()
  await pak.write(
    'pak.yaml',
    `name: pakts\ncontainers:\n  web:\n    ${SLEEPS}\n    volumes: ["data:/data"]\nvolumes:\n  data:\n`,
  )
  const list = async () => (await pak.ok(['exec', 'web', 'ls', '/data'])).trim()
  await pak.ok(['up', '-d'])
  await pak.ok(['exec', 'web', 'touch', '/data/kept'])
  await pak.ok(['down'])
  const rows = await pak.json<readonly Record<string, unknown>[]>(['volume', 'ls'])
  assert.equal(Object.keys(rows[0] ?? {}).sort(), [
    'containers',
    'driver',
    'filesystem',
    'labels',
    'mountpoint',
    'name',
    'project',
    'sizeBytes',
    'usedBytes',
  ])
  await pak.ok(['up', '-d'])
  assert.is(await list(), 'kept')
  const used = await pak.run(['volume', 'rm', 'data'])
  assert.is(used.exitCode, 1)
  await pak.ok(['down', '-v'])
  assert.equal(await pak.json(['volume', 'ls']), [])
  await pak.ok(['up', '-d'])
  assert.is(await list(), '')
})

testUnless(test, lacking, 'binds in both forms, read-only, and tmpfs', async () => {
  await using pak = await stage()
  await pak.write('shared/greeting', 'hello\n')
  await pak.write(
    'pak.yaml',
    `name: pakts
containers:
  web:
    ${SLEEPS}
    tmpfs: ["/scratch"]
    volumes:
      - ./shared:/short:ro
      - { type: bind, source: ./shared, target: /long }
      - { type: bind, source: ./made, target: /made, bind: { create_host_path: true } }
`,
  )
  await pak.ok(['up', '-d'])
  const sh = (script: string) => pak.run(['exec', 'web', 'sh', '-c', script])
  assert.is((await sh('cat /short/greeting /long/greeting')).stdout, 'hello\nhello\n')
  assert.match((await sh('echo x > /short/new')).stderr, 'Read-only')
  assert.is((await sh('echo x > /long/new && echo y > /made/new')).exitCode, 0)
  assert.is(await fs.readFile(join(pak.folder, 'shared/new'), 'utf8'), 'x\n')
  assert.is(await fs.readFile(join(pak.folder, 'made/new'), 'utf8'), 'y\n')
  assert.match((await sh('grep " /scratch " /proc/mounts')).stdout, /^tmpfs \/scratch tmpfs rw/)
})

testUnless(
  test,
  lacking,
  'a bind whose source is not there is refused before anything is made',
  async () => {
    await using pak = await stage()
    await pak.write(
      'pak.yaml',
      `name: pakts\ncontainers:\n  web:\n    ${SLEEPS}\n    volumes: ["./absent:/data"]\n`,
    )
    const { exitCode, stderr } = await pak.run(['up', '-d'])
    assert.is(exitCode, 1)
    assert.match(stderr, /absent/)
    assert.equal(await pak.json(['ps', '-a']), [])
    assert.is(await fs.stat(join(pak.folder, 'absent')).catch(() => null), null)
  },
)

test.run()
