import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loggingManifest } from '../../src/manifest/logging.ts'
import { container, refused } from './support.ts'

const KEPT = { maxBytes: 10 * 1024 * 1024, maxFiles: 3 }
const logging = async (text: string) => (await container(`logging: { ${text} }`)).logging
const syslog = (options: string) => logging(`driver: syslog, options: { ${options} }`)

test('syslog: to this machine unless an address says where', async () => {
  const usual = { driver: 'syslog', ...KEPT, facility: 'daemon', tag: '{{.Name}}' }
  assert.equal(await logging('driver: syslog'), {
    ...usual,
    address: { kind: 'unix', path: '/dev/log' },
    format: 'local',
  })
  assert.equal(await syslog('syslog-address: "udp://192.0.2.1", max-file: 5'), {
    ...usual,
    maxFiles: 5,
    address: { kind: 'udp', host: '192.0.2.1', port: 514 },
    format: 'rfc5424',
  })
  const all =
    'syslog-address: "tcp://[2001:db8::1]:601", syslog-facility: 16, syslog-format: rfc3164, tag: "a/{{ .ImageName }}"'
  assert.equal(await syslog(all), {
    ...usual,
    address: { kind: 'tcp', host: '2001:db8::1', port: 601 },
    facility: 'local0',
    format: 'rfc3164',
    tag: 'a/{{ .ImageName }}',
  })
})

test('journald: a tag, and labels as fields', async () => {
  assert.equal(await logging('driver: journald, options: { labels: "b, a,b,", tag: x }'), {
    ...{ driver: 'journald', ...KEPT, tag: 'x', labels: ['a', 'b'] },
  })
})

test('what config prints means the same', async () => {
  for (const text of [
    'driver: journald, options: { labels: "a,b" }',
    'driver: syslog',
    'driver: syslog, options: { syslog-address: "tcp://[::1]:601", syslog-facility: cron, max-size: 1m }',
    'driver: none',
    'options: { max-file: 7 }',
  ]) {
    const found = await logging(text)
    const again = JSON.stringify(loggingManifest(found)).slice(1, -1)
    assert.equal(await logging(again), found, again)
  }
})

test('what is wrong is told where it stands', async () => {
  for (const [options, said] of [
    ['syslog-address: "http://a"', 'expected udp://HOST:PORT, tcp://HOST:PORT or unix:///PATH'],
    ['syslog-address: "udp://a b"', 'expected HOST or HOST:PORT after udp://'],
    ['syslog-address: "udp://$$(id)"', 'expected HOST or HOST:PORT'],
    ['syslog-address: "udp://a:70000"', 'port'],
    ['syslog-address: "unix://dev/log"', 'begins with a slash'],
    ['syslog-address: "unix:///a/../b"', 'begins with a slash'],
    ['syslog-facility: local9', 'no such facility: local9'],
    ['syslog-format: json', 'expected rfc5424, rfc5424micro or rfc3164'],
    ['tag: "{{.Node}}"', '{{.DaemonName}}, got'],
    ['tag: "a\\nb"', 'printable'],
    ['labels: a', '`labels` is no option of the driver syslog'],
    ['max-size: 1k', 'at least 64k'],
  ] as const) {
    const found = await refused(`logging: { driver: syslog, options: { ${options} } }`)
    assert.ok(found.includes(said), `${options}: ${found}`)
  }
  const found = await refused('logging: { options: { tag: a } }')
  assert.ok(found.includes('`tag` is no option of the driver file'), found)
})

test.run()
