import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../../src/images/config.ts'
import { formatReference, parseReference } from '../../src/images/reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

test('short names are written out', () => {
  const cases = {
    nginx: 'docker.io/library/nginx:latest',
    'nginx:1.25': 'docker.io/library/nginx:1.25',
    'acme/web': 'docker.io/acme/web:latest',
    'index.docker.io/library/nginx': 'docker.io/library/nginx:latest',
    'localhost/x': 'localhost/x:latest',
    'localhost:5000/x/y:T_1': 'localhost:5000/x/y:T_1',
    'ghcr.io/acme/web@sha256': null,
    [`nginx:1@${digest}`]: `docker.io/library/nginx@${digest}`,
    '[::1]:5000/x': '[::1]:5000/x:latest',
  }
  for (const [given, wanted] of Object.entries(cases)) {
    if (wanted === null) assert.throws(() => parseReference(given))
    else assert.is(formatReference(parseReference(given)), wanted)
  }
})

test('what is no reference is refused', () => {
  const bad = [
    '',
    'UPPER',
    'a:',
    'a b',
    '../x',
    'x/../y',
    'a//b',
    '/a',
    'a/',
    'a:b:c',
    'a\n',
    'a@b@c',
    `x@${digest}0`,
    'a'.repeat(300),
    'a;rm -rf',
    '$(x)',
    `a:${'t'.repeat(129)}`,
  ]
  for (const text of bad) assert.throws(() => parseReference(text), /image reference/)
})

const configOf = (config: unknown) =>
  parseConfig(Buffer.from(JSON.stringify({ config, rootfs: { diff_ids: [] } })))

test('hostile metadata is dropped with a note, and steers nothing', () => {
  const { config, notes } = configOf({
    Env: ['A=b=c', 'NOEQUALS', '=x', '__proto__=polluted', 7, 'N=a\0b'],
    WorkingDir: '../../etc',
    Volumes: { '/': {}, '/data/../proc/x': {}, relative: {}, '/data/': {}, '/data': {} },
    Entrypoint: ['a', 7],
    Cmd: 'not a list',
    ExposedPorts: { '80/tcp': {}, 'x;y': {} },
    Labels: { 'pak.project': 'shop', bad: 7 },
    StopSignal: '$(x)',
    Unknown: { deep: true },
  })
  assert.equal(Object.entries(config.environment), [
    ['A', 'b=c'],
    ['__proto__', 'polluted'],
  ])
  assert.is(
    Object.prototype.toString.call(({} as Record<string, unknown>)['polluted']),
    '[object Undefined]',
  )
  assert.is(config.workingDir, '/etc')
  assert.equal(config.volumes, ['/data'])
  assert.equal([config.entrypoint, config.command, config.stopSignal], [[], [], null])
  assert.equal(config.exposedPorts, ['80/tcp'])
  assert.equal(config.labels, { 'pak.project': 'shop' })
  assert.ok(notes.length >= 6)
})

test('a user that is none makes the image unusable instead of root', () => {
  for (const User of ['a b', 'x:y:z', 'a\0']) assert.throws(() => configOf({ User }), /User/)
  assert.is(configOf({ User: '4294967296' }).config.user, '4294967296')
  assert.is(configOf({ User: '' }).config.user, null)
})

test.run()
