import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PakEvent } from '../../src/model/events.ts'
import { eventually } from '../support/eventually.ts'
import { historyOf } from '../support/history.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { inside, labWith, lacksContainers, rowOf } from './lab.ts'

const lacking = lacksContainers()
const MEBI = 1024 * 1024

const hog = (script: string) => `
hog:
  rootfs: ./rootfs
  command: [sh, -c, '${script}']
  network_mode: none
  stop_grace_period: 0s
  limits: { memory: 64M, swap: 0 }
`
// dd holds one block and stands before a full pipe.
const holding = (size: string) => `dd if=/dev/zero bs=${size} 2>/dev/null | sleep 100`

testUnless(test, lacking, 'an OOM kill is told with its peak and its culprit', async () => {
  await using pak = await labWith('pakt-oomev', hog(holding('80M')))
  await pak.ok(['up', '-d'])
  await showsKill(pak)
  const said = await pak.ok(['explain', 'hog'])
  assert.match(said, 'was killed by the kernel for memory (137)')
  assert.match(said, /dd \(pid \d+\) was killed, peak 6[34][.\d]* MiB of 64 MiB/)
})

testUnless(test, lacking, 'and so is that of what exec started', async () => {
  await using pak = await labWith('pakt-oomex', hog('exec sleep 1000'))
  await pak.ok(['up', '-d'])
  const used = async () => {
    const [row] = await pak.json<{ memoryBytes: number }[]>(['stats', '--no-stream'])
    return row?.memoryBytes ?? 0
  }
  const before = await used()
  assert.ok(before > 0)
  const held = pak.start(['exec', 'hog', 'sh', '-c', holding('40M')])
  const ended = new Promise((resolve) => held.once('close', resolve))
  await eventually('40 MiB more', async () => (await used()) - before >= 40 * MEBI)
  assert.is((await rowOf(pak, 'hog')).state, 'running')
  const { exitCode } = await inside(pak, 'hog', holding('80M'))
  assert.is(exitCode, 137)
  await ended
  await showsKill(pak)
})

async function showsKill(pak: PakSandbox): Promise<void> {
  const ooms = () => historyOf(pak.root).filter(({ type }) => type === 'container.oom')
  await eventually('the event', () => ooms().length > 0)
  const { exitCode, oomKilled } = await rowOf(pak, 'hog')
  assert.equal({ exitCode, oomKilled }, { exitCode: 137, oomKilled: true })
  const because = ooms()[0]?.because
  if (because?.kind !== 'oom') throw new Error(`not an OOM: ${because?.kind}`)
  const { peakBytes, limitBytes, process: culprit } = because
  assert.is(limitBytes, 64 * MEBI)
  assert.ok(peakBytes !== null && peakBytes > 60 * MEBI && peakBytes <= 64 * MEBI, `${peakBytes}`)
  assert.is(culprit?.name, 'dd')
  assert.ok((culprit?.pid ?? 0) > 1)
}

testUnless(
  test,
  lacking,
  'history and explain go on after down, and without an agent',
  async () => {
    const sleeper = `
web:
  rootfs: ./rootfs
  command: [sh, -c, 'exec sleep 1000']
  network_mode: none
  stop_grace_period: 0s
  restart: always
`
    await using pak = await labWith('pakt-hist', sleeper)
    await pak.ok(['up', '-d'])
    const { pid } = await rowOf(pak, 'web')
    assert.ok(pid !== null)
    process.kill(pid, 'SIGKILL')
    await eventually('restarted', async () => {
      const row = await rowOf(pak, 'web')
      return row.state === 'running' && row.pid !== pid
    })
    assert.match(await pak.ok(['explain', 'web']), /web-1 runs; .*\(exited with 137\)/)
    assert.match(await pak.ok(['explain', 'web']), /exited with 137 \(SIGKILL\) after/)
    await pak.ok(['down'])
    const rows = await pak.json<{ by: string; cause: string; result: string }[]>(['history', 'web'])
    assert.equal(
      rows.map(({ by, result }) => `${by} ${result}`),
      ['user ok', 'restart policy ok', 'user ok'],
    )
    assert.equal([rows[0]?.cause, rows[2]?.cause], ['up', 'down'])
    assert.match(await pak.ok(['history']), /user: up +create web\/1, start web\/1/)
    assert.match(await pak.ok(['explain', 'web']), 'web has no container, and no up asks for it.')
    const events = async (filter: string) => {
      const text = await pak.ok(['events', '--since', '1h', '--format', 'json', '--filter', filter])
      return text.split('\n').flatMap((line): PakEvent[] => (line === '' ? [] : [JSON.parse(line)]))
    }
    assert.equal(
      (await events('type=container.exited')).map(({ because }) => because?.kind),
      ['exited'],
    )
    assert.ok((await events('service=web')).length >= 6)
    assert.is((await pak.run(['events', '--since', '1h', '--filter', 'x'])).exitCode, 2)
    assert.is((await pak.run(['explain', 'nobody'])).exitCode, 1)
  },
)

test.run()
