// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { historyText } from '../support/history.ts'
import { baseEnvironment, type PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { lacking, SERVES, stage } from './stage.ts'

const PAK = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')
const MANIFEST = `name: paktbe
containers:
  web:
    ${SERVES}
    ports: ["8080:80"]
`
const DOCKER = `
table ip filter {
  chain DOCKER-USER { counter return; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
  }
  chain INPUT {
    type filter hook input priority filter; policy drop;
    ct state related,established counter accept
    iifname "lo" accept
  }
}`

/** Of its own: what is written into its firewall must meet nobody else. */
interface PrivateNetwork extends Disposable {
  readonly pid: number
  run(file: string, args: readonly string[], input?: string): string
}

/** A network, with a `/sys` that shows it and the cgroups of this machine, and a wire to a neighbour inside. */
async function privateNetwork(): Promise<PrivateNetwork> {
  const here = readlinkSync('/proc/self/ns/net')
  const child = spawn('unshare', ['--net', '--mount', '--', 'sh', '-c', PREPARE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const neighbour = spawn('unshare', ['--net', '--', 'sleep', '600'], { stdio: 'ignore' })
  const [pid = 0, other = 0] = [child.pid, neighbour.pid]
  await new Promise((resolve) => child.stdout.once('data', resolve))
  await eventually('a neighbour', () => readlinkSync(`/proc/${other}/ns/net`) !== here)
  const within = (at: number, file: string, args: readonly string[], input = '') =>
    execFileSync('nsenter', ['--net', '-t', `${at}`, file, ...args], {
      encoding: 'utf8',
      input,
      env: baseEnvironment(),
    })
  const link = `link add up0 type veth peer name eth0 netns ${other}`
  within(pid, 'ip', link.split(' '))
  within(
    pid,
    'ip',
    ['-batch', '-'],
    'addr add 203.0.113.1/24 dev up0\nlink set up0 up\nlink set lo up\n',
  )
  within(other, 'ip', ['-batch', '-'], 'addr add 203.0.113.2/24 dev eth0\nlink set eth0 up\n')
  return {
    pid,
    run: (file, args, input) =>
      within(
        file === 'neighbour' ? other : pid,
        file === 'neighbour' ? process.execPath : file,
        args,
        input,
      ),
    [Symbol.dispose]() {
      for (const each of [child, neighbour] as ChildProcess[]) each.kill('SIGKILL')
    },
  }
}

const PREPARE = `
set -e
keep=$(mktemp -d)
mount --rbind /sys/fs/cgroup $keep
mount -t sysfs sysfs /sys
mount --rbind $keep /sys/fs/cgroup
umount -l $keep
rmdir $keep
echo ready
exec sleep 600`

const GET = `
const s = require('net').connect(8080, '203.0.113.1', () => s.write('GET / HTTP/1.0\\r\\n\\r\\n'))
setTimeout(() => process.exit(), 1000)
s.on('data', (d) => process.stdout.write(d)).on('error', () => {}).on('close', () => process.exit())`

/** What the neighbour gets from the published port. */
const page = (net: PrivateNetwork): string => net.run('neighbour', ['-e', GET])

/** Whether the container reaches the neighbour: a refusal is an answer. */
async function outwards(pak: PakSandbox): Promise<string> {
  const { stderr } = await pak.run(['exec', 'web', 'sh', '-c', 'nc -w 2 203.0.113.2 9 </dev/null'])
  return /refused/i.test(stderr) ? 'refused' : stderr.trim()
}

testUnless(
  test,
  lacking,
  'beside a firewall that drops by default, through its reload and a flush of everything',
  async () => {
    using net = await privateNetwork()
    await using pak = await stage()
    await pak.write('pak.yaml', MANIFEST)
    net.run('nft', ['-f', '-'], DOCKER)
    // The first command starts the agent, which lives where it was started.
    execFileSync(
      'nsenter',
      [
        '--net',
        '--mount',
        '-t',
        `${net.pid}`,
        process.execPath,
        PAK,
        '-f',
        join(pak.folder, 'pak.yaml'),
        'up',
        '-d',
      ],
      {
        cwd: pak.folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...baseEnvironment(), PAK_ROOT: pak.root, PAK_RUN_ROOT: pak.runRoot },
      },
    )
    const whole = (what: string) =>
      eventually(
        what,
        async () => {
          assert.match(page(net), 'paktbe-web-1')
          assert.is(await outwards(pak), 'refused')
          return true
        },
        { withinMs: 30_000 },
      )
    await whole('at once')
    const ruled = net.run('nft', ['list', 'chain', 'ip', 'filter', 'FORWARD'])
    assert.is(ruled.match(/"pak\*"/g)?.length, 2)
    net.run('nft', ['-f', '-'], `delete table ip filter\n${DOCKER}`)
    await whole('after a reload')
    net.run('nft', ['-f', '-'], `flush ruleset\n${DOCKER}`)
    await whole('after a flush')
    assert.match(historyText(pak.root), 'dropped by chain ip filter FORWARD')
    await pak.ok(['down'])
    assert.not.match(net.run('nft', ['list', 'ruleset']), 'pak')
  },
)

test.run()
