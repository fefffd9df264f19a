// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { once } from 'node:events'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { testUnless } from '../support/skip.ts'
import { containers, lacking, runs, stage } from './stage.ts'

const COUNTS = (until: number) =>
  runs(`i=0; while [ $$i -lt ${until} ]; do i=$$((i+1)); echo $$ROUND-$$i; done; exec sleep 100000`)

testUnless(
  test,
  lacking,
  'logs -f that began before a recreate goes on after it and misses nothing',
  async () => {
    await using pak = await stage()
    const write = (round: string) =>
      pak.write(
        'pak.yaml',
        `name: paktl\ncontainers:\n  web:\n    ${COUNTS(2000)}\n    environment: { ROUND: ${round} }\n`,
      )
    await write('first')
    await pak.ok(['up', '-d'])
    const follower = pak.start(['logs', '--follow', '--no-log-prefix'])
    let text = ''
    follower.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
    for (const round of ['first', 'second', 'third']) {
      await write(round)
      await pak.ok(['up', '-d'])
      await eventually(`the end of round ${round}`, () => text.includes(`${round}-2000\n`))
    }
    follower.kill('SIGINT')
    const [code, signal] = await once(follower, 'exit')
    assert.ok(code === 0 || code === 130 || signal === 'SIGINT', `${code} ${signal}`)
    const wanted = ['first', 'second', 'third'].flatMap((round) =>
      Array.from({ length: 2000 }, (_, at) => `${round}-${at + 1}`),
    )
    assert.equal(text.trimEnd().split('\n'), wanted)
  },
)

testUnless(
  test,
  lacking,
  'services are merged by time; -n, -t, --since, --until and prefixes',
  async () => {
    await using pak = await stage()
    const says = (name: string) =>
      runs(`for i in 1 2 3; do echo ${name} $$i; done; exec sleep 100000`)
    await pak.write(
      'pak.yaml',
      `name: paktl\ncontainers:\n  web:\n    ${says('web')}\n  db:\n    ${says('db')}\n`,
    )
    await pak.ok(['up', '-d'])
    const lines = async (...args: readonly string[]) =>
      (await pak.ok(['logs', ...args])).split('\n').filter(Boolean)
    await eventually('six lines', async () => (await lines()).length === 6)
    assert.ok((await lines()).every((line) => /^(web|db)-1 +\| (web|db) [123]$/.test(line)))
    assert.equal(await lines('-n', '1', '--no-log-prefix', 'web'), ['web 3'])
    assert.equal(await lines('--tail', '0'), [])
    const times = (await lines('-t', '--no-log-prefix')).map((line) => line.split(' ')[0] ?? '')
    assert.is(times.length, 6)
    assert.equal(times, [...times].sort())
    assert.ok(
      times.every((time) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)$/.test(time)),
    )
    assert.is((await lines('--since', '1h')).length, 6)
    assert.is((await lines('--since', new Date(Date.now() + 60_000).toISOString())).length, 0)
    assert.is((await lines('--until', '1h')).length, 0)
    assert.is((await lines('--until', new Date(Date.now() + 60_000).toISOString())).length, 6)
    assert.is((await pak.run(['logs', 'nosuch'])).exitCode, 1)
  },
)

/** 40 bytes a line, `until` of them, as fast as busybox can. */
const BURST = (until: number) =>
  runs(
    `seq -w ${until} | sed 's/.*/line & 0123456789 abcdef 012345678/'; echo done; exec sleep 100000`,
  )
const LINE = /^line \d{7} 0123456789 abcdef 012345678$/

async function keptBytes(root: string): Promise<number> {
  const folder = join(root, 'projects/paktl/logs')
  const files = await Promise.all(
    [folder, join(folder, 'kept')].map(async (at) =>
      (await fs.readdir(at).catch(() => [])).map((name) => join(at, name)),
    ),
  )
  // What a link leads to is counted where it is.
  const facts = await Promise.all(files.flat().map((file) => fs.lstat(file).catch(() => null)))
  return facts.reduce((sum, stats) => sum + (stats?.isFile() === true ? stats.size : 0), 0)
}

testUnless(
  test,
  lacking,
  'a burst of 60 MB leaves three files of 1 MB, no line torn; a follower that stalls stops nobody',
  async () => {
    await using pak = await stage()
    await pak.write(
      'pak.yaml',
      `name: paktl\ncontainers:\n  web:\n    ${BURST(1_500_000)}\n    logging: { driver: json-file, options: { max-size: 1m, max-file: "3" } }\n`,
    )
    await pak.ok(['up', '-d'])
    // Its pipe is never read.
    const stalled = pak.start(['logs', '-f'])
    let most = 0
    await eventually('the end of the burst', async () => {
      most = Math.max(most, await keptBytes(pak.root))
      return (await pak.ok(['logs', '-n', '1', '--no-log-prefix'])) === 'done\n'
    })
    stalled.kill('SIGKILL')
    assert.ok(most <= 6 * 1_048_576, `${most} bytes`)
    assert.ok((await keptBytes(pak.root)) <= 4 * 1_048_576)
    const lines = (await pak.ok(['logs', '--no-log-prefix'])).trimEnd().split('\n')
    assert.is(lines.pop(), 'done')
    assert.ok(lines.length > 5_000, `${lines.length} lines`)
    assert.is(
      lines.find((line) => !LINE.test(line)),
      undefined,
    )
    const count = (line: string | undefined) => Number(line?.slice(5, 12))
    assert.is(count(lines.at(-1)), 1_500_000)
    assert.ok(lines.every((line, at) => at === 0 || count(line) > count(lines[at - 1])))
  },
)

testUnless(test, lacking, '8 MB without a newline stay bounded', async () => {
  await using pak = await stage()
  await pak.write(
    'pak.yaml',
    `name: paktl\ncontainers:\n  web:\n    ${runs("head -c 8000000 /dev/zero | tr '\\0' x; exec sleep 100000")}\n    logging: { options: { max-size: 500k, max-file: 2 } }\n`,
  )
  await pak.ok(['up', '-d'])
  const size = async () => (await pak.ok(['logs', '--no-log-prefix'])).length
  let before = -1
  await eventually('the end', async () => {
    const now = await keptBytes(pak.root)
    const isQuiet = now === before && now > 0
    before = now
    return isQuiet
  })
  assert.ok((await keptBytes(pak.root)) <= 4 * 512_000)
  // All that is left is the middle of one line whose begin is gone.
  assert.ok((await size()) <= 3 * 512_000)
})

testUnless(
  test,
  lacking,
  'a follower across rotation and restart sees each line once',
  async () => {
    await using pak = await stage()
    const script =
      'for p in 1 2 3 4 5 6 7 8 9 10; do seq $$((p*2000-1999)) $$((p*2000)); sleep 0.2; done; echo done; exec sleep 100000'
    await pak.write(
      'pak.yaml',
      `name: paktl\ncontainers:\n  web:\n    ${runs(script)}\n    logging: { options: { max-size: 128k, max-file: 8 } }\n`,
    )
    const follower = pak.start(['logs', '--follow', '--no-log-prefix'])
    let text = ''
    follower.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
    const ends = () => text.split('\n').filter((line) => line === 'done').length
    await pak.ok(['up', '-d'])
    await eventually('the first end', () => ends() === 1)
    await pak.ok(['restart', 'web', '-t', '0'])
    await eventually('the second end', () => ends() === 2)
    follower.kill('SIGINT')
    await once(follower, 'exit')
    const lines = text.trimEnd().split('\n')
    const wanted = Array.from({ length: 20_000 }, (_, at) => at + 1)
    const round = [...wanted.map((n) => String(n)), 'done']
    assert.is(lines.length, 2 * round.length)
    assert.equal(lines, [...round, ...round])
  },
)

testUnless(
  test,
  lacking,
  'driver none keeps nothing and says so; what goes for good takes its logs',
  async () => {
    await using pak = await stage()
    const write = (logging: string) =>
      pak.write(
        'pak.yaml',
        `name: paktl\ncontainers:\n  web:\n    ${runs('echo hello; exec sleep 100000')}\n    ${logging}\n`,
      )
    await write('logging: { driver: local }')
    await pak.ok(['up', '-d'])
    await eventually('a line', async () => (await pak.ok(['logs'])).includes('hello'))
    await write('logging: { driver: none }')
    await pak.ok(['up', '-d'])
    const { stdout, stderr } = await pak.run(['logs', 'web'])
    assert.is(stdout, '')
    assert.match(stderr, /web-1: no log is kept/)
    assert.is((await containers(pak))['paktl-web-1']?.state, 'running')
    await write('logging: { driver: file }')
    await pak.ok(['up', '-d'])
    await eventually('a line again', async () => (await pak.ok(['logs'])).includes('hello'))
    await pak.ok(['rm', '-f', '-s', 'web'])
    assert.is(await keptBytes(pak.root), 0)
  },
)

test.run()
