import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { errorOf, folderWith, load, problemsOf, service } from './support.ts'

const NASTY = [
  'a\nb',
  'a;b',
  "a'b",
  'a"b',
  '$(id)',
  '`id`',
  '../a',
  'a/../../b',
  '-a',
  '.a',
  ' a',
  'a b',
  '',
  'a\0b',
  'wеb', // Cyrillic
  'ｗeb',
  'a\u200bb',
  'x'.repeat(300),
]

test('billion laughs is refused in bounded memory', async () => {
  const lines = ['x-a0: &a0 [l, l, l, l, l, l, l, l, l]']
  for (let n = 1; n < 12; n++)
    lines.push(
      `x-a${n}: &a${n} [${Array(9)
        .fill(`*a${n - 1}`)
        .join(', ')}]`,
    )
  const problems = await problemsOf(`${lines.join('\n')}\ncontainers: { web: { image: a } }\n`)
  assert.match(
    problems[0] ?? '',
    /with its aliases written out the file has more than 500000 values/,
  )
})

test('10,000 merge aliases of a large map are bounded', async () => {
  const keys = Array.from({ length: 1000 }, (_, n) => `k${n}: 1`).join(', ')
  const merges = Array(10_000).fill('*a').join(', ')
  const problems = await problemsOf(`x-a: &a {${keys}}\nx-b: { <<: [${merges}] }\ncontainers: {}\n`)
  assert.match(problems[0] ?? '', /more than 500000 values/)
})

test('10,000 merge aliases of a small map are one map', async () => {
  const merges = Array(10_000).fill('*a').join(', ')
  const text = `x-a: &a { image: a }\ncontainers: { web: { <<: [${merges}] } }\n`
  assert.equal((await load(text)).desired.services[0]?.container.source, {
    kind: 'image',
    reference: 'a',
  })
})

for (const [name, text] of Object.entries({
  'flow lists': '['.repeat(10_000),
  'closed flow lists': '['.repeat(10_000) + ']'.repeat(10_000),
  'flow maps': '{a: '.repeat(10_000),
  'block lists': '- '.repeat(10_000),
  'block maps': Array.from({ length: 1500 }, (_, n) => `${' '.repeat(n)}a:`).join('\n'),
  'explicit keys': '? '.repeat(10_000),
}))
  test(`nesting of 10,000 is refused with a place: ${name}`, async () => {
    assert.match((await problemsOf(text))[0] ?? '', /^\d+:\d+ : nested deeper than 100 levels/)
  })

test('aliases that pile up levels are refused as nesting is', async () => {
  const lines = ['x-a0: &a0 1']
  for (let n = 1; n < 1500; n++)
    lines.push(`x-a${n}: &a${n} ${'['.repeat(40)}*a${n - 1}${']'.repeat(40)}`)
  const problems = await problemsOf(`${lines.join('\n')}\ncontainers: {}\n`)
  assert.match(problems[0] ?? '', /nested deeper than 100 levels/)
})

test('a file of 100 MB is refused without being read whole', async () => {
  await using folder = await folderWith({})
  const file = await open(join(folder.path, 'pak.yaml'), 'w')
  await file.truncate(100 * 1024 * 1024)
  await file.close()
  const error = await errorOf('', { files: [join(folder.path, 'pak.yaml')] })
  assert.match(String(error), /read file, `.*pak.yaml`: larger than 4 MiB/)
})

test('a file of 4 MiB of brackets, dollars or keys takes bounded time', async () => {
  const size = 4 * 1024 * 1024 - 100
  assert.ok(await errorOf('['.repeat(size)))
  assert.ok(await errorOf(`x: "\${A:-${'$$'.repeat(size / 2 - 10)}"`))
  const keys = Array.from({ length: 200_000 }, (_, n) => `x-k${n}: 1`).join('\n')
  assert.ok(await errorOf(`${keys}\ncontainers: 1`))
})

test('duplicate keys are refused where they are', async () => {
  const problems = await problemsOf('containers:\n  web:\n    image: a\n    image: b\n')
  assert.equal(problems, ['4:5 : key `image` is there twice'])
})

test('__proto__ is refused as a key everywhere and pollutes nothing', async () => {
  for (const text of [
    '__proto__: { polluted: 1 }\ncontainers: {}',
    'containers: { __proto__: { image: a } }',
    'containers: { web: { image: a, labels: { __proto__: x } } }',
    'containers: { web: { image: a, environment: [__proto__=x] } }',
    'containers: { web: { image: a, labels: [__proto__=x] } }',
    'x-a: &a { "__proto__": { image: a } }\ncontainers: { web: { <<: *a } }',
  ])
    assert.match((await problemsOf(text)).join(), /__proto__/)
  assert.is(({} as Record<string, unknown>)['polluted'], undefined)
})

test('constructor and toString are names like others', async () => {
  const { desired } = await load(
    'containers: { constructor: { image: a, labels: { toString: x, hasOwnProperty: y } } }',
  )
  assert.equal(desired.services[0]?.name, 'constructor')
  assert.equal(desired.services[0]?.container.labels, { hasOwnProperty: 'y', toString: 'x' })
  assert.match((await problemsOf('toString: 1\ncontainers: {}')).join(), /unknown key `toString`/)
})

test('cyclic anchors are refused', async () => {
  assert.match(
    (await problemsOf('x-a: &a [*a]\ncontainers: {}')).join(),
    /inside of what it stands for/,
  )
  assert.match(
    (await problemsOf('containers: &c { web: *c }')).join(),
    /inside of what it stands for/,
  )
  assert.match((await problemsOf('containers: { web: *nowhere }')).join(), /there is no anchor/)
})

test('restart: no is a text, a boolean is explained', async () => {
  assert.is((await service('restart: no')).container.restart.name, 'no')
  const problems = await problemsOf('containers: { web: { image: a, restart: false } }')
  assert.match(problems.join(), /got the boolean false; quote it/)
})

test('22:22 is a text and not a sexagesimal', async () => {
  const { ports } = (await service('ports: [22:22]')).container
  assert.equal(ports, [{ hostIp: '0.0.0.0', published: 22, target: 22, protocol: 'tcp' }])
})

for (const nasty of NASTY) {
  const quoted = JSON.stringify(nasty)
  test(`a name such as ${quoted.slice(0, 30)} is refused wherever names stand`, async () => {
    const places = {
      project: `name: ${quoted}\ncontainers: { web: { image: a } }`,
      service: `containers: { ${quoted}: { image: a } }`,
      network: `containers: { web: { image: a } }\nnetworks: { ${quoted}: {} }`,
      volume: `containers: { web: { image: a } }\nvolumes: { ${quoted}: {} }`,
      alias: `containers: { web: { image: a, networks: { default: { aliases: [${quoted}] } } } }`,
      'container name': `containers: { web: { image: a, container_name: ${quoted} } }`,
      hostname: `containers: { web: { image: a, hostname: ${quoted} } }`,
      label: `containers: { web: { image: a, labels: { ${quoted}: x } } }`,
      sysctl: `containers: { web: { image: a, sysctls: { ${JSON.stringify(`net.${nasty}`)}: 1 } } }`,
      host: `containers: { web: { image: a, extra_hosts: { ${quoted}: 10.0.0.1 } } }`,
      profile: `containers: { web: { image: a, profiles: [${quoted}] } }`,
      'network reference': `containers: { web: { image: a, networks: [${quoted}] } }`,
      dependency: `containers: { web: { image: a, depends_on: [${quoted}] } }`,
      user: `containers: { web: { image: a, user: ${quoted} } }`,
      image: `containers: { web: { image: ${quoted} } }`,
    }
    for (const [place, text] of Object.entries(places)) {
      if (place === 'sysctl' && ['', '-a', '.a'].includes(nasty)) continue
      if (place === 'image' && /^[a-z]+$/.test(nasty)) continue
      const options = place === 'project' ? { projectName: null } : {}
      const error = await errorOf(text.replaceAll('$', '$$$$'), options)
      assert.ok(error, `${place} ${quoted}`)
      assert.not.match(error.message.split('\n').join(''), /[\0\u200b]/)
    }
  })
}

test('a project name from outside passes the same grammar', async () => {
  for (const projectName of ['../x', 'A', 'a b', 'a\n', 'x'.repeat(64)])
    assert.match(String(await errorOf('containers: {}', { projectName })), /project name/)
})

test('values with newlines are data and never read again', async () => {
  const VALUE = 'x\n  privileged: true\n\u0024{OTHER} $OTHER "\'; rm -rf /'
  const { container } = await service('environment: { A: "$VALUE" }', { environment: { VALUE } })
  assert.equal(container.environment, { A: VALUE })
  assert.is(container.privileged, false)
})

test('include and extends are refused for now', async () => {
  const problems = await problemsOf(
    'include: [../../etc/passwd]\ncontainers: { web: { extends: { file: ../../x, service: y } } }',
  )
  assert.match(problems.join('\n'), /include: `include` is not supported yet/)
  assert.match(problems.join('\n'), /containers\.web\.extends: `extends` is not supported yet/)
})

test('nothing is mounted over the root or over /proc', async () => {
  for (const target of ['/', '/..', '/proc', '/proc/1', '/a/../proc/sys']) {
    const [problem = ''] = await problemsOf(
      `containers: { web: { image: i, volumes: ["/tmp:${target}"] } }`,
    )
    assert.match(problem, /nothing can be mounted/, target)
  }
})

test('dependency cycles and self-dependency are shown as such', async () => {
  const problems = await problemsOf(`containers:
  a: { image: i, depends_on: [b] }
  b: { image: i, depends_on: { c: } }
  c: { image: i, network_mode: "service:a" }
  d: { image: i, depends_on: [d] }
`)
  assert.match(problems.join('\n'), /dependency cycle: `a` -> `b` -> `c` -> `a`/)
  assert.match(problems.join('\n'), /service `d` depends on itself/)
  assert.is(problems.length, 2)
})

test('5,000 services in a chain load', async () => {
  const lines = Array.from(
    { length: 5000 },
    (_, n) =>
      `  s${n}: { image: a, ports: ["${n + 1000}:80"], depends_on: [${n === 0 ? '' : `s${n - 1}`}] }`,
  )
  const { desired } = await load(`containers:\n${lines.join('\n')}\n`)
  assert.is(desired.services.length, 5000)
})

test('5,000 services that are all wrong are reported', async () => {
  const lines = Array.from(
    { length: 5000 },
    (_, n) => `  s${n}: { image: a, prots: [80], networks: [x] }`,
  )
  const error = await errorOf(`containers:\n${lines.join('\n')}\n`)
  assert.match(error?.message ?? '', /and \d+ more problems$/)
})

test('ports that collide are refused, ranges included', async () => {
  const problems = await problemsOf(`containers:
  a: { image: i, ports: ["8000-8010:80-90"] }
  b: { image: i, ports: ["127.0.0.1:8005:80"] }
  c: { image: i, ports: ["127.0.0.2:9000:80", "127.0.0.1:9000:80"] }
  d: { image: i, ports: ["7000:80", "7000:81"] }
`)
  assert.equal(problems, [
    '3:26 containers.b.ports[0]: port 8005 is published by `containers.a.ports[0]` already',
    '5:37 containers.d.ports[1]: port 7000 is published by `containers.d.ports[0]` already',
  ])
})

test('a range that is far too long is refused', async () => {
  const text = 'containers: { a: { image: i, ports: ["1-65535:1-65535"] } }'
  assert.match((await problemsOf(text)).join(), /at most 20000 ports/)
})

test('subnets that overlap are refused', async () => {
  const problems = await problemsOf(`containers:
  web: { image: a, networks: [x, y, z] }
networks:
  x: { subnet: 10.0.0.0/8 }
  y: { subnet: 10.77.1.0/24 }
  z: { subnet: 192.168.7.0/24 }
`)
  assert.equal(problems, [
    '5:16 networks.y.subnet: 10.77.1.0/24 overlaps 10.0.0.0/8 of network `x`',
  ])
})

test('nothing of a hostile file reaches the terminal as an escape', async () => {
  const error = await errorOf('containers: { "\\e[31mweb": { image: a } }\n"\u009b31m": 1')
  assert.ok(error)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  assert.not.match(error.message, /[\u001b\u009b]/)
})

test('malformed YAML and other than text are refused', async () => {
  for (const text of [
    'a: [',
    'a: b: c',
    '\t- x',
    '"',
    '%YAML 9',
    '- a\nb: c',
    '!!binary x',
    'a: !foo x',
    '--- a\n--- b',
  ])
    assert.ok(await errorOf(text), text)
})

test.run()
