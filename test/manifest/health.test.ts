import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { container, load, refused } from './support.ts'

const HTTP = {
  kind: 'http',
  port: 8080,
  tls: false,
  method: 'GET',
  path: '/',
  headers: {},
  statuses: [{ least: 200, most: 399 }],
} as const

const testOf = async (lines: string) =>
  (await container(`healthcheck: { ${lines} }`)).healthcheck?.test

test('http is a port and a path, a URL of the container itself, or a map', async () => {
  assert.equal(await testOf('http: 8080'), HTTP)
  assert.equal(await testOf('http: ":8080/a?b=c"'), { ...HTTP, path: '/a?b=c' })
  assert.equal(await testOf('http: "http://localhost:8080/a"'), { ...HTTP, path: '/a' })
  assert.equal(await testOf('http: "https://127.0.0.1/"'), { ...HTTP, port: 443, tls: true })
  assert.equal(
    await testOf(
      'http: { port: 8080, path: /x, https: true, method: HEAD, headers: { Host: a.test, X-B: 1 }, status: [404, 200-299] }',
    ),
    {
      ...HTTP,
      path: '/x',
      tls: true,
      method: 'HEAD',
      headers: { Host: 'a.test', 'X-B': '1' },
      statuses: [
        { least: 200, most: 299 },
        { least: 404, most: 404 },
      ],
    },
  )
  assert.equal(await testOf('http: { port: 8080, status: 204 }'), {
    ...HTTP,
    statuses: [{ least: 204, most: 204 }],
  })
})

test('tcp is a port; what is done about the unhealthy is declared, and nothing by default', async () => {
  assert.equal(await testOf('tcp: 5432'), { kind: 'tcp', port: 5432 })
  assert.equal(await testOf('tcp: ":5432"'), { kind: 'tcp', port: 5432 })
  const action = async (lines: string) =>
    (await container(`healthcheck: { tcp: 1${lines} }`)).healthcheck?.onUnhealthy
  assert.is(await action(''), 'none')
  assert.is(await action(', on_unhealthy: restart'), 'restart')
  assert.is(await action(', on_unhealthy: stop'), 'stop')
  assert.is((await container('healthcheck: { tcp: 1, disable: true }')).healthcheck, null)
})

test('hooks have the grammar of Compose', async () => {
  const { postStart, preStop } = await container(
    'post_start: [{ command: "a \'b c\'", user: root, privileged: true, working_dir: /w/, environment: [A=1, B] }], pre_stop: [{ command: [x] }, { command: [y] }]',
    { environment: { B: 'shell' } },
  )
  const plain = { user: null, workingDir: null, privileged: false, environment: {} }
  assert.equal(postStart, [
    {
      command: ['a', 'b c'],
      user: 'root',
      privileged: true,
      workingDir: '/w',
      environment: { A: '1', B: 'shell' },
    },
  ])
  assert.equal(preStop, [
    { command: ['x'], ...plain },
    { command: ['y'], ...plain },
  ])
})

test('what is wrong with a check or a hook is said', async () => {
  for (const [lines, said] of [
    ['healthcheck: { tcp: 1, test: x }', 'one of `test`, `http` and `tcp`'],
    ['healthcheck: { interval: 1s }', 'needs a `test`, `http` or `tcp`'],
    ['healthcheck: { tcp: 0 }', 'port must be 1-65535'],
    ['healthcheck: { tcp: a.test:80 }', 'port must be 1-65535'],
    ['healthcheck: { http: /healthz }', 'expected a port and a path'],
    ['healthcheck: { http: 80/a b }', 'expected a path that begins with a slash'],
    ['healthcheck: { http: "http://a.test:80/" }', 'asks the container itself'],
    ['healthcheck: { http: { path: / } }', '`port` is missing'],
    ['healthcheck: { http: { port: 1, path: x } }', 'expected a path that begins with a slash'],
    ['healthcheck: { http: { port: 1, status: 600 } }', 'expected a status'],
    ['healthcheck: { http: { port: 1, status: 300-200 } }', 'expected a status'],
    ['healthcheck: { http: { port: 1, method: PUT } }', 'expected `GET` or `HEAD`'],
    ['healthcheck: { http: { port: 1, headers: { "a b": c } } }', 'the name of a header'],
    ['healthcheck: { http: { port: 1, headers: { a: "b\\r\\nc: d" } } }', 'on one line'],
    ['healthcheck: { http: { port: 1, headers: [a=1, A=2] } }', 'is there twice'],
    ['healthcheck: { tcp: 1, on_unhealthy: reboot }', 'expected one of `none`, `restart`, `stop`'],
    ['post_start: { command: x }', 'expected a list of hooks'],
    ['post_start: [{ user: root }]', '`command` is missing'],
    ['pre_stop: [{ command: [] }]', 'a hook needs a `command`'],
    ['pre_stop: [{ command: x, when: now }]', 'unknown key `when`'],
    ['pre_stop: [{ command: x, user: "a b" }]', 'expected a user'],
  ] as const)
    assert.ok((await refused(lines)).includes(said), `${lines}: ${await refused(lines)}`)
})

test('hooks of several files come one after the other', async () => {
  const two = 'containers: { web: { post_start: [{ command: b }] } }'
  const { desired } = await load('', {
    files: ['one.yaml', 'two.yaml'],
    beside: {
      'one.yaml': 'containers: { web: { image: i, post_start: [{ command: a }] } }',
      'two.yaml': two,
    },
  })
  const commands = desired.services[0]?.container.postStart.map(({ command }) => command)
  assert.equal(commands, [['a'], ['b']])
})

test.run()
