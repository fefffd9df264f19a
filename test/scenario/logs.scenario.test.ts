// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { testUnless } from '../support/skip.ts'
import { lacking, runs, stage } from './stage.ts'

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

test.run()
