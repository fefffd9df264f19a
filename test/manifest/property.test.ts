import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestText } from '../../src/manifest/load.ts'
import { errorOf, load } from './support.ts'

const RUNS = 150
const SCHEMA = JSON.parse(
  await readFile(new URL('../../schema/pak.schema.json', import.meta.url), 'utf8'),
)

const word = fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/)
const anyText = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom('no', '1.10', '~', '- a', '$$', "'", 'a: b', '\u0024{X}', '0x1F'),
  )
  .map((text) => text.replaceAll('\0', '').replace(/[\ud800-\udfff]/g, ''))
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const names = (arbitrary: fc.Arbitrary<string>) =>
  fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 4 })
const limits = fc.record(
  {
    cpu: fc.oneof(
      fc.integer({ min: 1, max: 400 }).map((n) => `${n}%`),
      fc.double({ min: 0.01, max: 16, noNaN: true }).map((n) => n.toFixed(3)),
    ),
    memory: fc.constantFrom('64M', '1.5G', '600k', 1048576),
    swap: fc.constantFrom(0, '1m'),
    memory_high: fc.constantFrom('32M', 1048576),
    memory_reservation: fc.constantFrom('512k', 65536),
    io: fc.constantFrom(
      [{ path: '/', read_bps: '1M' }],
      [
        { device: '/dev/sda', write_iops: 3, read_iops: 4 },
        { path: './x', write_bps: 7 },
      ],
    ),
    io_weight: fc.integer({ min: 1, max: 10_000 }),
    hugepages: fc.constantFrom({ '2MB': '4M', '1GB': 0 }),
    pids: fc.integer({ min: 1, max: 1000 }),
    cpu_weight: fc.integer({ min: 1, max: 10000 }),
    cpuset: fc.constantFrom('0', '2,0,1', '0-2,4'),
  },
  { requiredKeys: [] },
)

/** A service that stands by itself; its ports are its own by its number. */
const serviceOf = (n: number) =>
  fc.record(
    {
      image: fc.constantFrom(
        'alpine',
        'ghcr.io/acme/web:1',
        `localhost:5000/a/b@sha256:${'a'.repeat(64)}`,
      ),
      command: fc.oneof(
        fc.array(anyText, { maxLength: 3 }),
        fc.constantFrom('sleep 3600', 'sh -c "a b" \'$$c\''),
      ),
      entrypoint: fc.array(anyText, { maxLength: 2 }),
      environment: fc.dictionary(word, anyText, { maxKeys: 4 }).map(escaped),
      labels: fc.dictionary(word, anyText, { maxKeys: 4 }).map(escaped),
      working_dir: fc.constantFrom('/', '/srv/', '/a/../b'),
      user: fc.constantFrom('1000:1000', 1000, 'www-data'),
      group_add: names(word),
      hostname: word,
      limits,
      replicas: fc.integer({ min: 0, max: 4 }),
      tmpfs: fc.constantFrom('/run', ['/tmp:size=64m,mode=1777', '/x:ro']),
      volumes: fc.subarray([
        'data:/data',
        './site:/srv:ro',
        '/anonymous',
        {
          type: 'bind',
          source: '~/h',
          target: '/h',
          bind: { create_host_path: true, propagation: 'rslave' },
        },
        { type: 'volume', source: 'data', target: '/d2', volume: { nocopy: true } },
      ]),
      networks: fc.subarray(['default', 'back'], { minLength: 1 }),
      ports: fc.subarray([
        `${8000 + n}:80`,
        `${9000 + n * 10}-${9003 + n * 10}:90-93/tcp`,
        { target: 443, published: `${7000 + n}`, host_ip: '127.0.0.1' },
      ]),
      expose: fc.subarray(['80', '90-93/tcp', 53]),
      restart: fc.constantFrom('no', 'always', 'on-failure:3', 'unless-stopped', 'on-failure'),
      healthcheck: fc.constantFrom(
        { test: 'true', interval: '1m30s' },
        { test: ['CMD', 'a', '$$b'], retries: 5 },
        { disable: true },
        { test: ['NONE'] },
        { tcp: 80, on_unhealthy: 'stop' },
        { http: '8080/a?b=$$c', on_unhealthy: 'restart' },
        {
          http: { port: 1, https: true, method: 'HEAD', headers: { A: '$$' }, status: [404, 200] },
        },
      ),
      post_start: fc.constantFrom(
        [{ command: 'a "$$b"' }],
        [{ command: ['a'], user: 0, privileged: true, working_dir: '/', environment: ['A=$$b'] }],
      ),
      pre_stop: fc.constantFrom([], [{ command: ['b'] }, { command: ['c'] }]),
      stop_signal: fc.constantFrom('TERM', 'SIGINT', 9, 'SIGRTMIN+3'),
      stop_grace_period: fc.constantFrom('0s', '1m30s', '1.5s'),
      init: fc.boolean(),
      read_only: fc.boolean(),
      cap_add: fc.subarray(['NET_ADMIN', 'cap_sys_time']),
      cap_drop: fc.subarray(['ALL', 'CHOWN']),
      privileged: fc.boolean(),
      security_opt: fc.subarray([
        'no-new-privileges:true',
        'seccomp={"a":"$$1"}',
        'apparmor=x',
        'systempaths=unconfined',
      ]),
      sysctls: fc.subarray(['net.core.somaxconn=1024', 'kernel.msgmax=1']),
      ulimits: fc.constantFrom({ nofile: 1024 }, { nproc: { soft: 1, hard: -1 }, core: 0 }),
      extra_hosts: fc.subarray(['a:10.0.0.1', 'b=host-gateway', 'c:::1']),
      dns: fc.constantFrom('9.9.9.9', ['1.1.1.1', '::1']),
      dns_search: fc.constantFrom('a.test', ['b.test', 'a.test']),
      dns_opt: fc.subarray(['ndots:1', 'rotate']),
      devices: fc.subarray(['/dev/fuse', '/dev/a:/dev/b:mr']),
      pid: fc.constant('host'),
    },
    { requiredKeys: ['image'] },
  )

const manifest = fc
  .tuple(
    fc
      .array(fc.integer(), { minLength: 1, maxLength: 3 })
      .chain((list) => fc.tuple(...list.map((_, n) => serviceOf(n)))),
    maybe(limits),
  )
  .map(([services, ceiling]) => ({
    ...(ceiling === undefined ? {} : { limits: ceiling }),
    containers: Object.fromEntries(
      services.map((service, n) => [
        `s${n}`,
        { ...service, ...(n === 0 ? {} : { depends_on: [`s${n - 1}`] }) },
      ]),
    ),
    networks: { back: { internal: true, subnet: '10.77.1.0/24', labels: { a: 'b' } } },
    volumes: { data: { labels: ['x=y'] } },
  }))

function escaped(record: Readonly<Record<string, string>>) {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, value.replaceAll('$', '$$$$')]),
  )
}

const OPTIONS = { environment: { HOME: '/home/u', X: 'x' } }

test('what `config` prints is read as the same desired state, from any folder and shell', async () => {
  await fc.assert(
    fc.asyncProperty(manifest, async (written) => {
      const first = await load(JSON.stringify(written), OPTIONS)
      const again = await load(manifestText(first.normalized()))
      assert.equal(again.desired, first.desired)
      assert.equal(again.normalized(), first.normalized())
    }),
    { numRuns: RUNS },
  )
})

test('the order of keys, ports and the like means nothing', async () => {
  await fc.assert(
    fc.asyncProperty(manifest, async (written) => {
      const first = await load(JSON.stringify(written), OPTIONS)
      const other = await load(JSON.stringify(shuffled(written)), OPTIONS)
      const folder = /\/tmp\/pakt-manifest-\w+/g
      const print = (value: unknown) => JSON.stringify(value).replace(folder, 'FOLDER')
      assert.is(print(other.desired), print(first.desired))
    }),
    { numRuns: RUNS },
  )
})

test('any text at all is a manifest or a PakError', async () => {
  const piece = fc.constantFrom(
    'containers',
    ':',
    ' ',
    '\n',
    '  ',
    '-',
    '{',
    '}',
    '[',
    ']',
    ',',
    'web',
    'image',
    '&a',
    '*a',
    '<<',
    '"',
    "'",
    '|',
    '>',
    '!',
    '#',
    '${A:-',
    '}',
    '$',
    'null',
    '1',
    '\t',
    'é',
    '?',
    '%',
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      await errorOf(pieces.join(''))
    }),
    { numRuns: 1000 },
  )
})

test('any value of any key is a manifest or a PakError', async () => {
  const keys = Object.keys(SCHEMA.definitions.service.properties)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...keys),
      fc.jsonValue({ maxDepth: 3 }),
      async (key, value) => {
        await errorOf(JSON.stringify({ containers: { web: { image: 'a', [key]: value } } }))
      },
    ),
    { numRuns: 1000 },
  )
})

/** Keys reversed everywhere, and the lists whose order means nothing. */
function shuffled(value: unknown, key = ''): unknown {
  const unordered = [
    'ports',
    'volumes',
    'cap_add',
    'cap_drop',
    'networks',
    'expose',
    'devices',
    'group_add',
    'sysctls',
    'extra_hosts',
    'security_opt',
  ]
  if (Array.isArray(value)) return unordered.includes(key) ? [...value].reverse() : value
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(
    ([name, below]) => [name, shuffled(below, name)] as const,
  )
  return Object.fromEntries(entries.reverse())
}

test.run()
