import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { errorOf, problemsOf, refused } from './support.ts'

test('a problem is shown with its place, the text and what was expected', async () => {
  const error = await errorOf(`containers:
  web:
    image: a
    ports: ["80800:80"]
`)
  assert.is(error?.exitStatus, 2)
  assert.is(
    error?.message.replace(/^\S*pak\.yaml/, 'pak.yaml'),
    `pak.yaml:4:13  containers.web.ports[0]
    4 |     ports: ["80800:80"]
      |             ^^^^^^^^^^  published port must be 1-65535, got 80800`,
  )
})

test('all problems come at once, in the order of the file', async () => {
  const problems = await problemsOf(`name: Shop
limts: { cpu: 150% }
containers:
  web:
    image: a b
    build: .
    comand: x
    restart: sometimes
    networks: [bakc]
    volumes: [dat:/x, data/y:/z]
    depends_on: { dbb: { condition: service_heathy } }
    limits: { cpu: 0.1%, memory: foo, pids: 0 }
  db: {}
networks:
  back: { subnet: 10.77.1.3/24, driver: overlay }
volumes: { data: }
`)
  assert.equal(problems, [
    '1:7 name: expected a project name: lower-case letters, digits, `_` and `-`, at most 63, the first a letter or digit, got Shop',
    '2:1 limts: unknown key `limts`; did you mean `limits`?',
    '5:12 containers.web.image: expected the reference of an image such as `alpine:3.20`, got a b',
    '6:5 containers.web.build: building images is not supported yet',
    '7:5 containers.web.comand: unknown key `comand`; did you mean `command`?',
    '8:14 containers.web.restart: expected `no`, `always`, `on-failure`, `on-failure:N` or `unless-stopped`, got sometimes',
    '9:16 containers.web.networks[0]: there is no network `bakc`; did you mean `back`?',
    '10:15 containers.web.volumes[0]: there is no volume `dat`; did you mean `data`?',
    '10:23 containers.web.volumes[1]: expected the name of a volume or a path, got data/y; for a folder of the host say `./data/y`',
    '11:19 containers.web.depends_on.dbb: there is no service `dbb`; did you mean `db`?',
    '11:37 containers.web.depends_on.dbb.condition: expected one of `service_started`, `service_healthy`, `service_completed_successfully`, got service_heathy',
    '12:20 containers.web.limits.cpu: a CPU limit is at least 1%, got 0.1%',
    '12:34 containers.web.limits.memory: expected a size such as `64M`, or a number of bytes, got foo',
    '12:45 containers.web.limits.pids: number of processes must be 1-4194304, got 0',
    '13:3 containers.db: a container needs an `image` or a `rootfs`',
    '15:19 networks.back.subnet: 10.77.1.3/24 has host bits set; say `10.77.1.0/24`',
    '15:41 networks.back.driver: expected `bridge`, `vxlan`, `macvlan`, `ipvlan` or `cni`; other drivers are not supported yet, got overlay',
  ])
})

test('`containers` and `services` are one thing', async () => {
  const problems = await problemsOf(
    'containers: { a: { image: i } }\nservices: { a: { image: i } }',
  )
  assert.match(problems.join(), /2:1 services: `services` and `containers` mean the same/)
})

test('what belongs to later work says so', async () => {
  for (const [lines, said] of [
    ['pull_policy: always', 'pulling images is not supported yet'],
    ['secrets: [a]', 'secrets are not supported yet'],
    [
      'deploy: { rollback_config: {} }',
      '`rollback_config` is not supported: a rollback goes by the `update_config` of',
    ],
    ['logging: { driver: gelf }', 'expected `file`, `json-file`, `local`, `syslog`, `journald`'],
    [
      'logging: { driver: syslog, options: { syslog-address: "tcp+tls://a" } }',
      'syslog over TLS is not supported yet',
    ],
    ['deploy: { resources: { reservations: { cpus: 1 } } }', 'the kernel reserves no CPUs'],
    ['ports: ["53:53/dccp"]', 'unknown protocol dccp'],
    ['ports: ["[::1]:80:80"]', 'Linux cannot forward from ::1'],
    ['ports: [80]', 'a port chosen by pak is not supported yet; say which: `80:80`'],
    ['volumes: ["./a:/a:z"]', 'mount option `z` is not supported yet'],
    ['oom_kill_disable: true', '`oom_kill_disable` is not done: a container without memory'],
    ['blkio_config: { weight_device: [] }', 'weights of single devices are not supported yet'],
    ['tty: true', '`tty` is not supported yet'],
  ] as const)
    assert.ok((await refused(lines)).includes(said), `${lines}: ${await refused(lines)}`)
})

test('what contradicts itself is refused', async () => {
  for (const [lines, said] of [
    ['mem_limit: 1m, limits: { memory: 2m }', 'contradicts `containers.web.limits.memory`'],
    ['replicas: 1, scale: 2', 'contradicts `containers.web.replicas`'],
    [
      'cpus: 1, deploy: { resources: { limits: { cpus: 2 } } }',
      'contradicts `containers.web.cpus`',
    ],
    ['mem_reservation: 1m, limits: { memory_reservation: 2m }', 'it contradicts'],
    ['mem_reservation: 2m, mem_limit: 1m', 'more memory is reserved than the memory limit allows'],
    ['limits: { cpu_burst: 10% }', '`cpu_burst` needs a `cpu` limit'],
    ['limits: { cpu: 10%, cpu_burst: 20% }', '`cpu_burst` is more than `cpu`'],
    ['cpu_quota: 50000, cpus: 1', 'it contradicts another CPU limit'],
    ['cpu_period: 50000', '`cpu_period` needs a `cpu_quota`'],
    [
      'limits: { io: [{ path: /, device: /dev/sda, read_bps: 1 }] }',
      'say one of `path` and `device`',
    ],
    ['limits: { io: [{ path: / }] }', 'say at least one of `read_bps`'],
    ['limits: { io: [{ path: /, read_bps: 1 }, { path: //, read_iops: 1 }] }', '/ is there twice'],
    ['limits: { io: [{ device: /etc/x, read_bps: 1 }] }', 'expected a path below /dev'],
    ['limits: { io: [{ path: /, read_bps: 0 }] }', 'a rate is at least 1 byte a second'],
    ['limits: { hugepages: { 2MB: 3M } }', 'expected whole pages of 2MB'],
    ['limits: { hugepages: { big: 4M } }', 'expected a page size such as `2MB`'],
    ['limits: { oom: nobody }', 'expected `container` or `process`'],
    ['mem_swappiness: 101', 'swappiness must be 0-100'],
    ['oom_score_adj: 1001', 'OOM score must be -1000-1000'],
    ['rootfs: /', 'either `image` or `rootfs`'],
    ['network_mode: host, networks: [default]', '`networks` does not go with `network_mode: host`'],
    ['network_mode: none, ports: ["1:1"]', '`ports` does not go with `network_mode: none`'],
    ['network_mode: host, sysctls: { net.core.somaxconn: 1 }', "would change another's namespace"],
    ['container_name: x, replicas: 2', '2 replicas cannot share one name'],
    ['cap_add: [CHOWN], cap_drop: [CAP_CHOWN]', '`CAP_CHOWN` is added and dropped'],
    ['uts: host, hostname: x', '`hostname` does not go with `uts: host`'],
    ['volumes: ["/a"], tmpfs: /a/', 'something else is mounted on `/a` already'],
    ['memswap_limit: 1m', '`memswap_limit` needs a memory limit'],
    ['sysctls: { kernel.panic: 1 }', 'expected a sysctl of a namespace'],
    ['ulimits: { nofil: 1 }', 'unknown limit `nofil`; did you mean `nofile`?'],
    ['cap_add: [NET_ADMINN]', 'did you mean `NET_ADMIN`?'],
    ['stop_signal: SIGTERN', 'did you mean `SIGTERM`?'],
    ['devices: ["/dev/../etc/shadow"]', 'expected a path below /dev'],
    ['env_file: nowhere.env', 'there is no env file'],
    ['command: "a \'b"', "a quote ' is not closed"],
    ['depends_on: { web: { condition: service_healthy } }', 'has no healthcheck'],
  ] as const)
    assert.ok((await refused(lines)).includes(said), `${lines}: ${await refused(lines)}`)
})

test('a container without an image needs a command', async () => {
  const problems = await problemsOf('containers: { web: { rootfs: / } }')
  assert.match(problems.join(), /a container on a `rootfs` needs a `command`/)
  const writable = await problemsOf(
    'containers: { web: { rootfs: /, command: a, read_only: false } }',
  )
  assert.match(writable.join(), /always read-only/)
})

test('container names are given once', async () => {
  const problems = await problemsOf(`containers:
  a: { image: i, container_name: x }
  b: { image: i, container_name: x }
  c: { image: i, container_name: shop-d-1 }
  d: { image: i }
`)
  assert.equal(
    problems.map((problem) => problem.split(':')[0]),
    ['3', '4'],
  )
})

test('fixed addresses have their place in a declared subnet', async () => {
  const problems = await problemsOf(`containers:
  a: { image: i, networks: { n: { ipv4_address: 10.1.0.1 } } }
  b: { image: i, networks: { n: { ipv4_address: 10.2.0.1 } } }
  c: { image: i, networks: { n: { ipv4_address: 10.1.0.9 } } }
  d: { image: i, networks: { n: { ipv4_address: 10.1.0.9 } } }
  e: { image: i, networks: { default: { ipv4_address: 10.1.0.9 } } }
networks: { n: { subnet: 10.1.0.0/24 } }
`)
  assert.equal(
    problems.map((problem) => problem.replace(/^.*: /, '')),
    [
      '10.1.0.1 is the gateway of the network',
      "10.2.0.1 is no host's address in 10.1.0.0/24",
      'service `c` has this address already',
      'a fixed address needs a network with a `subnet`',
    ],
  )
})

test('what is wrong within a command is told once', async () => {
  const problems = await problemsOf(
    `containers: { web: { rootfs: /, command: [sh, -c, "echo $(id)"] } }`,
  )
  assert.is(problems.length, 1)
  assert.match(problems[0] ?? '', 'containers.web.command[2]')
})

test('a long line is cut around the place', async () => {
  const error = await errorOf(
    `containers: { web: { image: a, labels: { a: "${'x'.repeat(500)}" }, prots: [] } }`,
  )
  const [, excerpt = '', caret = ''] = error?.message.split('\n') ?? []
  assert.ok(excerpt.length < 140)
  assert.is(excerpt.slice(caret.indexOf('^'), caret.lastIndexOf('^') + 1), 'prots')
})

test.run()
