import * as fs from 'node:fs/promises'
import { hostname } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { installed, testUnless } from '../support/skip.ts'
import { labWith, lacksContainers, pidOf, tell, writeProject } from './lab.ts'

const common = 'rootfs: ./rootfs\n  command: [sleep, "1000"]\n  stop_grace_period: 0s'
const NOFILE = 2 ** 30 + 1

testUnless(test, lacksContainers(), 'every key of confinement has its effect', async () => {
  await using sandbox = await labWith(
    'pakt-keys',
    `
plain:
  ${common}
  ipc: shareable
bound:
  ${common}
  user: "65534:65533"
  group_add: ["44", "45"]
  read_only: true
  shm_size: 8M
  tmpfs: ["/scratch:size=1m"]
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  extra_hosts: ["other.test=192.0.2.7"]
  hostname: box
  domainname: example.test
  sysctls: { net.core.somaxconn: 77 }
  ulimits: { nofile: ${NOFILE}, core: 0 }
  devices: ["/dev/null:/dev/hole:r"]
joined:
  ${common}
  pid: service:plain
  ipc: service:plain
  cap_add: [NET_ADMIN]
  security_opt: ["seccomp=unconfined"]
host:
  ${common}
  pid: host
  ipc: host
  uts: host
free:
  ${common}
  privileged: true
`,
  )
  const { stderr, exitCode } = await sandbox.run(['up', '-d'])
  assert.is(exitCode, 0, stderr)
  assert.match(stderr, /warning: service `bound`: ulimit nofile: \d+ lowered to \d+/)
  const bound = await tell(sandbox, 'bound', LOOK)
  for (const line of [
    'uid=65534(nobody) gid=65533 groups=44,45,65533',
    'no write',
    'shm 8192',
    'scratch 1024',
    'somaxconn 77',
    'core 0',
    'box',
    'example.test',
  ])
    assert.ok(bound.split('\n').includes(line), `${line}, not in\n${bound}`)
  assert.match(bound, /^CapBnd:\s+0+$/m)
  assert.match(bound, /^NoNewPrivs:\s+1$/m)
  assert.match(bound, /^192\.0\.2\.7\s+other\.test$/m)
  assert.match(bound, /^crw[-\w]*\s.*1,\s+3 .*\/dev\/hole$/m)

  const same = async (service: string, other: string | number, kind: string) =>
    assert.is(
      await namespace(await pidOf(sandbox, service), kind),
      await namespace(typeof other === 'number' ? other : await pidOf(sandbox, other), kind),
      `${service} ${kind}`,
    )
  for (const kind of ['pid', 'ipc']) await same('joined', 'plain', kind)
  for (const kind of ['pid', 'ipc', 'uts']) await same('host', process.pid, kind)
  assert.is(await tell(sandbox, 'host', 'hostname'), hostname())
  const joined = await tell(
    sandbox,
    'joined',
    'cat /proc/self/status; ip link set lo down && echo did',
  )
  assert.match(joined, /^Seccomp:\s+0$/m)
  assert.match(joined, /did$/)
  const free = await tell(
    sandbox,
    'free',
    'cat /proc/self/status; mount -t tmpfs none /tmp && echo mounted; ls /dev/kmsg /dev/full',
  )
  assert.match(free, /^Seccomp:\s+0$/m)
  assert.match(free, /^mounted$/m)
})

testUnless(
  test,
  lacksContainers(),
  'what cannot be is said before anything is touched',
  async () => {
    await using sandbox = await labWith(
      'pakt-refuse',
      `x:\n  ${common}\n  devices: [/dev/pakt-none]\n`,
    )
    const device = await sandbox.run(['up', '-d'])
    assert.is(device.exitCode, 1)
    assert.match(device.stderr, '/dev/pakt-none')
    assert.equal(await sandbox.json(['ps', '-a']), [])

    await writeProject(
      sandbox,
      'pakt-refuse',
      `x:\n  ${common}\n  network_mode: none\n  limits: { cpu: 50% }\n`,
    )
    const path = await sandbox.write(
      'pak.yaml',
      `${await fs.readFile(`${sandbox.folder}/pak.yaml`, 'utf8')}\nlimits: { cpu: 25% }\n`,
    )
    const ceiling = await sandbox.run(['up', '-d', '-f', path])
    if ((await fs.readFile('/proc/self/cgroup', 'utf8')).includes(':cpu')) {
      assert.is(ceiling.exitCode, 1)
      assert.match(ceiling.stderr, /limits of `x`: cpu 0\.5 is more than the project's 0\.25/)
    } else assert.is(ceiling.exitCode, 0, ceiling.stderr)
  },
)

testUnless(test, lacksContainers(), 'an init is process 1 and reaps', async () => {
  await using sandbox = await labWith(
    'pakt-init',
    `x:\n  ${common}\n  network_mode: none\n  init: true\n`,
  )
  const up = await sandbox.run(['up', '-d'])
  if (up.exitCode === 0) {
    assert.match(await tell(sandbox, 'x', 'readlink /proc/1/exe; (sleep 0 & )'), /init$/m)
    const states = () => tell(sandbox, 'x', 'ps -o stat,args')
    await eventually('nobody waits to be reaped', async () => !/^Z/m.test(await states()))
  } else {
    assert.not.ok(installed('catatonit'), up.stderr)
    assert.match(up.stderr, /install the package catatonit/)
  }
})

testUnless(
  test,
  lacksContainers() ?? (installed('runc') ? null : 'not installed: runc'),
  'runc runs it as well',
  async () => {
    await using sandbox = await labWith('pakt-runc', `x:\n  ${common}\n  limits: { memory: 64M }\n`)
    await sandbox.ok(['--runtime', 'runc', 'up', '-d'])
    const monitor = /^PPid:\s+(\d+)$/m.exec(
      await fs.readFile(`/proc/${await pidOf(sandbox, 'x')}/status`, 'utf8'),
    )?.[1]
    assert.match(await fs.readFile(`/proc/${monitor}/cmdline`, 'utf8'), /--runtime\0[^\0]*runc/)
    assert.match(await tell(sandbox, 'x', 'grep Seccomp: /proc/self/status'), '2')
    assert.is((await sandbox.run(['exec', 'x', 'sh', '-c', 'exit 7'])).exitCode, 7)
    const write = 'mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null || echo refused'
    assert.is(await tell(sandbox, 'x', write), 'refused')
    await sandbox.ok(['down'])
    assert.equal(await sandbox.json(['ps', '-a']), [])
  },
)

/** All questions to one container at once. */
const LOOK = `
id
touch /root/x /x 2>/dev/null && echo wrote || echo no write
echo shm $(df -k /dev/shm | awk 'END { print $2 }')
echo scratch $(df -k /scratch | awk 'END { print $2 }')
echo somaxconn $(cat /proc/sys/net/core/somaxconn)
echo core $(ulimit -c)
hostname
cat /proc/sys/kernel/domainname
cat /proc/self/status /etc/hosts
ls -l /dev/hole
`

const namespace = (pid: number, kind: string): Promise<string> =>
  fs.readlink(`/proc/${pid}/ns/${kind}`)

test.run()
