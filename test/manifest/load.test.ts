import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LoadRequest, loadManifest, serviceNames } from '../../src/manifest/load.ts'
import { container, errorOf, folderWith, load, problemsOf, service } from './support.ts'

const REQUEST: LoadRequest = {
  files: [],
  cwd: '/',
  projectName: null,
  profiles: [],
  envFiles: [],
  environment: {},
}
const ONE = 'containers: { web: { image: a } }'

test('the default names are found here, then in the folders above', async () => {
  await using folder = await folderWith({
    'compose.yml': ONE,
    'pak.yml': 'containers: { b: { image: a } }',
  })
  const below = join(folder.path, 'My.App', 'deeper')
  await mkdir(below, { recursive: true })
  const { files, desired } = await loadManifest({ ...REQUEST, cwd: below, projectName: 'p' })
  assert.equal(files, [join(folder.path, 'pak.yml')])
  assert.equal(
    desired.services.map(({ name }) => name),
    ['b'],
  )
  await writeFile(join(below, 'docker-compose.yml'), ONE)
  assert.equal((await loadManifest({ ...REQUEST, cwd: below })).desired.project, 'deeper')
})

test('no file at all is an error that says what was looked for', async () => {
  await using folder = await folderWith({})
  try {
    await loadManifest({ ...REQUEST, cwd: folder.path })
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), /find manifest, `.*`: no pak\.yaml here or in a folder above/)
  }
})

test('the project name: asked for, variable, file, folder', async () => {
  const named = `name: "\${N:-fromfile}"\n${ONE}`
  const of = async (text: string, request: Partial<LoadRequest>) =>
    (await load(text, request)).desired.project
  assert.is(await of(named, { projectName: 'p', environment: { PAK_PROJECT_NAME: 'v' } }), 'p')
  assert.is(await of(named, { projectName: null, environment: { PAK_PROJECT_NAME: 'v' } }), 'v')
  assert.is(await of(named, { projectName: null }), 'fromfile')
  assert.match(await of(ONE, { projectName: null }), /^pakt-manifest-\w+$/)
})

test('several files are merged as Compose merges them', async () => {
  await using folder = await folderWith({
    'a.yaml': `
name: one
services:
  web:
    image: a
    command: [x, y]
    environment: [A=1, B=2]
    ports: ["1:1"]
    volumes: [./a:/a, data:/d]
    depends_on: [db]
    cap_add: [CHOWN]
    labels: { gone: x }
  db: { image: db }
volumes: { data: }
`,
    'b.yaml': `
services:
  web:
    command: z
    environment: { B: 3 }
    ports: ["2:2"]
    volumes: [./b:/a]
    depends_on: { db: { condition: service_started, restart: true } }
    cap_add: !override [KILL]
    labels: !reset {}
`,
  })
  const { desired } = await loadManifest({
    ...REQUEST,
    cwd: folder.path,
    files: ['a.yaml', 'b.yaml'],
  })
  const web = desired.services[1]
  assert.is(desired.project, 'one')
  assert.equal(web?.container.command, ['z'])
  assert.equal(web?.container.environment, { A: '1', B: '3' })
  assert.equal(
    web?.container.ports.map(({ published }) => published),
    [1, 2],
  )
  assert.equal(
    web?.container.mounts.map(({ target }) => target),
    ['/a', '/d'],
  )
  assert.match(JSON.stringify(web?.container.mounts[0]), /\/b"/)
  assert.is(web?.dependsOn[0]?.restart, true)
  assert.equal(web?.container.capAdd, ['CAP_KILL'])
  assert.equal(web?.container.labels, {})
})

test('an override file beside the default one is merged', async () => {
  const { desired, files } = await load(ONE, {
    beside: { 'pak.override.yaml': 'containers: { web: { init: true } }' },
  })
  assert.is(files.length, 2)
  assert.is(desired.services[0]?.container.init, true)
})

test('a problem names the file that it is in', async () => {
  await using folder = await folderWith({
    'a.yaml': ONE,
    'b.yaml': 'containers: { web: { prots: [] } }',
  })
  try {
    await loadManifest({ ...REQUEST, cwd: folder.path, files: ['a.yaml', 'b.yaml'] })
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), /b\.yaml:1:22 {2}containers\.web\.prots/)
  }
})

test('variables: the shell wins over .env, --env-file replaces it', async () => {
  const text =
    'containers: { web: { image: a, environment: { A: $A, B: $B, C: }, labels: { p: $COMPOSE_PROJECT_NAME } } }'
  const beside = {
    '.env': 'A=file\nB="x \u0024{A} y"\nC=c\n',
    'other.env': "A='$other'\nB=1 # no\n",
  }
  const first = await load(text, { beside, environment: { A: 'shell' } })
  assert.equal(first.desired.services[0]?.container.environment, {
    A: 'shell',
    B: 'x shell y',
    C: 'c',
  })
  assert.equal(first.desired.services[0]?.container.labels, { p: 'shop' })
  await using folder = await folderWith({ 'pak.yaml': text, ...beside })
  const other = await loadManifest({ ...REQUEST, cwd: folder.path, envFiles: ['other.env'] })
  assert.equal(other.desired.services[0]?.container.environment, { A: '$other', B: '1' })
})

test('a variable that is not set is warned of once', async () => {
  const { warnings } = await load(
    'containers: { web: { image: a, command: [$X, $X], labels: { a: "\u0024{Y-}" } } }',
  )
  assert.equal(warnings, ['variable `X` is not set: it stands for an empty text'])
})

test('env files: content is state, environment wins, a missing one only where it is required', async () => {
  const beside = {
    'a.env':
      '# c\nexport A=1\nB: two words # c\n\nD="l1\nl2\\n"\nE=\'$A \\n\'\nFROM_SHELL\nP=a$b$$1\n',
    'b.env': 'A=2\r\n',
  }
  const { environment } = await container(
    'env_file: [a.env, { path: b.env, required: true }, { path: no.env, required: false }], environment: [B=3]',
    { beside, environment: { FROM_SHELL: 's', b: '!' } },
  )
  assert.equal(environment, {
    A: '2',
    B: '3',
    D: 'l1\nl2\n',
    E: '$A \\n',
    FROM_SHELL: 's',
    P: 'a!$1',
  })
  const bad = await problemsOf('containers: { w: { image: a, env_file: a.env } }', {
    beside: { 'a.env': 'A=1\n=x\n' },
  })
  assert.match(bad.join(), /a\.env:2: expected `NAME=value`/)
})

test('profiles switch services on, so does naming one', async () => {
  const text = `containers:
  a: { image: i, depends_on: { b: { required: false } } }
  b: { image: i, profiles: [debug] }
  c: { image: i, profiles: [other], volumes: [v:/v] }
volumes: { v: }
`
  const of = async (request: Partial<LoadRequest>) => {
    const { desired } = await load(text, request)
    return desired.services.map(
      ({ name, dependsOn }) => `${name}${dependsOn.map(({ service: on }) => `>${on}`)}`,
    )
  }
  assert.equal(await of({}), ['a'])
  assert.equal(await of({ profiles: ['debug'] }), ['a>b', 'b'])
  assert.equal(await of({ profiles: ['*'] }), ['a>b', 'b', 'c'])
  assert.equal(await of({ services: ['c'] }), ['a', 'c'])
  assert.equal((await load(text)).desired.volumes, [])
  const needed = await problemsOf(
    'containers: { a: { image: i, depends_on: [b] }, b: { image: i, profiles: [p] } }',
  )
  assert.match(needed.join(), /switched off by its profiles/)
})

test('rootfs: / is read-only, paths are relative to the file', async () => {
  const { desired } = await load(
    'containers: { a: { rootfs: /, command: x }, b: { rootfs: ./r/../s/, command: x } }',
  )
  const [a, b] = desired.services.map(({ container: made }) => made)
  assert.is(a?.readOnly, true)
  assert.is(b?.readOnly, false)
  assert.match(b?.source.kind === 'rootfs' ? b.source.path : '', /^\/tmp\/pakt-manifest-\w+\/s$/)
})

test('limits in all their forms', async () => {
  const of = async (lines: string) => (await container(lines)).limits
  assert.is((await of('limits: { cpu: 25% }')).cpuMillis, 250)
  assert.is((await of('limits: { cpu: 1.5 }')).cpuMillis, 1500)
  assert.is((await of('cpus: ".5"')).cpuMillis, 500)
  assert.is((await of('mem_limit: 1.5G')).memoryBytes, 1610612736)
  assert.is((await of('mem_limit: 64m, memswap_limit: 96m')).swapBytes, 32 * 1024 * 1024)
  assert.is((await of('cpu_shares: 1024')).cpuWeight, 39)
  assert.is((await of('pids_limit: -1')).pids, null)
  assert.is((await of('cpuset: "3,0-1,2"')).cpuset, '0-3')
  assert.is((await of('cpu_quota: 25000')).cpuMillis, 250)
  assert.is((await of('cpu_quota: 25000, cpu_period: 50ms')).cpuMillis, 500)
  assert.is((await of('cpu_quota: -1')).cpuMillis, null)
  assert.is((await of('limits: { cpu: 50%, cpu_burst: 10% }')).cpuBurstMillis, 100)
  assert.is((await of('mem_reservation: 32m')).memoryReservationBytes, 32 * 1024 * 1024)
  const reserved = 'deploy: { resources: { reservations: { memory: 1m } } }'
  assert.is((await of(reserved)).memoryReservationBytes, 1024 * 1024)
  assert.is((await of('limits: { memory_high: 48M }')).memoryHighBytes, 48 * 1024 * 1024)
  assert.is((await of('mem_swappiness: 10')).swappiness, 10)
  assert.equal((await of('limits: { hugepages: { 2MB: 64M } }')).hugepages, { '2MB': 2 ** 26 })
  assert.equal((await of('limits: { oom: process }')).oom, 'process')
  assert.equal((await of('limits: { pids: 5 }')).oom, 'container')
})

test('the speed of disks in pak’s words and in Compose’s', async () => {
  const of = async (lines: string) => (await container(lines)).limits
  const io = { readBps: null, writeBps: null, readIops: null, writeIops: null }
  assert.equal((await of('limits: { io: [{ path: /var/, read_bps: 10M, write_iops: 5 }] }')).io, [
    { ...io, kind: 'path', path: '/var', readBps: 10 * 2 ** 20, writeIops: 5 },
  ])
  const compose = await of(`blkio_config:
      { weight: 200, device_read_bps: [{ path: /dev/sdb, rate: 12mb }, { path: /dev/sda, rate: 1 }],
        device_write_iops: [{ path: /dev/sdb, rate: 30 }] }`)
  assert.equal(compose.io, [
    { ...io, kind: 'device', path: '/dev/sda', readBps: 1 },
    { ...io, kind: 'device', path: '/dev/sdb', readBps: 12 * 2 ** 20, writeIops: 30 },
  ])
  assert.is(compose.ioWeight, 1200)
  const { desired } = await load('limits: { io: [{ device: /dev/sda, read_iops: 9 }], cpu: 2 }')
  assert.is(desired.limits.io[0]?.readIops, 9)
  assert.is(desired.limits.oom, null)
  assert.match(
    (await problemsOf('limits: { oom: process }\ncontainers: {}')).join(),
    /`oom` is said for a container, not for a project/,
  )
})

test('sharing a namespace makes a dependency', async () => {
  const { desired } = await load(`containers:
  a: { image: i, network_mode: "service:b", depends_on: [b] }
  b: { image: i }
  c: { image: i, pid: "service:b" }
`)
  assert.is(desired.services[0]?.dependsOn[0]?.restart, false)
  assert.is(desired.services[2]?.dependsOn[0]?.restart, true)
  assert.equal(desired.services[0]?.container.networks, [])
})

test('numbers keep the text that the user wrote', async () => {
  const { environment } = await container(
    'environment: { A: 1.10, B: 0755, C: 1e3, D: 12345678901234567890, E: true, F: "" }',
  )
  assert.equal(environment, {
    A: '1.10',
    B: '0755',
    C: '1e3',
    D: '12345678901234567890',
    E: 'true',
    F: '',
  })
})

test('what is accepted without effect is warned of', async () => {
  const { warnings, desired } = await load(
    `version: "3"\n${ONE}\nnetworks: { n: }\nvolumes: { v: }`,
  )
  assert.is(warnings.length, 3)
  assert.equal(
    desired.networks.map(({ name }) => name),
    ['default'],
  )
})

test('a service has sound defaults', async () => {
  const { container: made, replicas } = await service('healthcheck: { test: x }')
  assert.is(replicas, 1)
  assert.is(made.shmBytes, 67108864)
  assert.is(made.stopGraceMs, 10000)
  assert.equal(made.healthcheck, {
    test: { kind: 'shell', command: ['x'] },
    intervalMs: 30000,
    timeoutMs: 30000,
    startPeriodMs: 0,
    startIntervalMs: 5000,
    retries: 3,
    onUnhealthy: 'none',
  })
})

test('service names for completion never fail', async () => {
  await using folder = await folderWith({
    'pak.yaml': 'services: { b: { wrong: $ }, a: }',
    'bad.yaml': '[',
  })
  assert.equal(await serviceNames({ files: [], cwd: folder.path }), ['a', 'b'])
  assert.equal(await serviceNames({ files: ['bad.yaml'], cwd: folder.path }), [])
  assert.equal(await serviceNames({ files: ['nowhere.yaml'], cwd: folder.path }), [])
})

test('a file without containers is an empty project, a file with nothing in it is none', async () => {
  assert.equal((await load('name: shop')).desired.services, [])
  for (const text of ['', '# later', '{}', '---']) assert.ok(await errorOf(text), text)
  assert.ok(await errorOf('- a'))
  assert.ok(await errorOf('just text'))
})

test.run()
