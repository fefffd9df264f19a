// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
// alone: requests that run all the time give up after a second
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { busyboxSandbox, fleetLacks, freePort, manifest, type Row } from '../support/fleet.ts'
import { historyText } from '../support/history.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'

/** Answers at once, or after a while; told to stop, it lets what is under way come to its end. */
const SERVER = `
mkdir -p /tmp/w/cgi-bin
echo $$VERSION > /tmp/w/index.html
printf '#!/bin/sh\\necho Content-type: text/plain\\necho\\nsleep 0.3\\necho $$VERSION\\n' > /tmp/w/cgi-bin/slow
chmod +x /tmp/w/cgi-bin/slow
trap 'sleep 1; while pidof slow >/dev/null; do sleep 0.1; done; exit 0' TERM
httpd -f -p 80 -h /tmp/w & wait`

/** Asks by name, several at a time, each request on a connection of its own; writes down what came of it. */
const CLIENT = `
ask() {
  while :; do
    answer=$$(printf "GET /$$2 HTTP/1.0\\r\\n\\r\\n" | nc -w 15 $$1 80 | tail -n 1)
    echo $$1 $$\{answer:-lost} >> /tmp/log
    sleep 0.1
  done
}
ask web & ask web & ask web cgi-bin/slow & ask solo & ask solo cgi-bin/slow & wait`

const fleet = (port: number, version: string, more: Readonly<Record<string, unknown>> = {}) => {
  const server = {
    command: ['sh', '-c', SERVER],
    environment: { VERSION: version },
    healthcheck: {
      test: '[ $$VERSION != bad ] && wget -q -O /dev/null http://127.0.0.1/',
      interval: '100ms',
      retries: 3,
    },
    update_config: { order: 'start-first', failure_action: 'rollback' },
    ...more,
  }
  const depends_on = Object.fromEntries(
    ['web', 'solo'].map((name) => [name, { condition: 'service_healthy' }]),
  )
  return manifest({
    web: { ...server, replicas: 3, ports: [`${port}:80`] },
    solo: server,
    client: { command: ['sh', '-c', CLIENT], stop_signal: 'SIGKILL', depends_on },
  })
}

testUnless(
  test,
  fleetLacks(),
  'an update that starts first loses no request; a version that does not work stops nothing and leaves',
  async () => {
    await using pak = await busyboxSandbox()
    const port = await freePort()
    const up = async (version: string, more?: Readonly<Record<string, unknown>>) => {
      await pak.write('pak.yaml', fleet(port, version, more))
      return pak.run(['up', '-d'])
    }
    const first = await up('one')
    assert.is(first.exitCode, 0, first.stderr)
    await pak.write('pak.yaml', fleet(port, 'two'))
    const planned = await pak.ok(['plan'])
    assert.match(planned, /service\/web\/4 +create, then remove: one more while web is updated/)
    assert.match(planned, /service\/solo\/2 +create, then remove: one more while solo is updated/)
    const updated = await up('two')
    assert.is(updated.exitCode, 0, updated.stderr)
    const now = await pids(pak)
    assert.equal([...now.keys()].sort(), ALL)
    const asked = await tally(pak)
    for (const service of ['web', 'solo'])
      for (const version of ['one', 'two'])
        assert.ok((asked.get(`${service} ${version}`) ?? 0) > 0, [...asked].join('; '))
    assert.is(asked.get('web lost') ?? asked.get('solo lost'), undefined, [...asked].join('; '))

    const failed = await up('bad')
    assert.is(failed.exitCode, 1)
    assert.match(failed.stderr, /rolled back/)
    assert.equal([...(await pids(pak))], [...now])
    assert.match(historyText(pak.root), 'update.rolled_back')

    assert.is((await up('bad', { update_config: { order: 'start-first' } })).exitCode, 1)
    // It has left before the next look is over.
    await pak.ok(['rollback'])
    assert.equal([...(await pids(pak))], [...now])
    const all = await tally(pak)
    assert.equal(
      [...all.keys()].filter((key) => /lost|bad/.test(key)),
      [],
    )
    const plan = await pak.run(['plan', '--detailed-exitcode'])
    assert.is(plan.exitCode, 2, 'the file says bad')
  },
)

const ALL = ['fleet-client-1', 'fleet-solo-1', 'fleet-web-1', 'fleet-web-2', 'fleet-web-3']

/** By container, those that are only there included. */
async function pids(pak: PakSandbox): Promise<ReadonlyMap<string, number | null>> {
  const rows = await pak.json<readonly Row[]>(['ps', '-a'])
  return new Map(rows.map(({ container, pid }) => [container, pid]))
}

/** How often the client has had which answer. */
async function tally(pak: PakSandbox): Promise<ReadonlyMap<string, number>> {
  const text = await pak.ok(['exec', '-T', 'client', 'sh', '-c', 'sort /tmp/log | uniq -c'])
  return new Map(
    text
      .trim()
      .split('\n')
      .map((line) => {
        const [count = '', ...words] = line.trim().split(' ')
        return [words.join(' '), Number(count)]
      }),
  )
}

test.run()
