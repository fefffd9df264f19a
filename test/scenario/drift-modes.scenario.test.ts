// not in the emulated machine: drift.scenario shows the cgroups there; this only says what is done about drift
// alone: holds pak to its three seconds
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { eventsOf, memoryFile, number, settled, told, within, within3s } from './damage.ts'
import { cgroupOf } from './lab.ts'
import { containers, lacking, pids, SLEEPS, stage } from './stage.ts'

const MEBI = 1024 * 1024

const MANIFEST = (project: string) => `name: ${project}
drift: report
containers:
  kept:
    ${SLEEPS}
    drift: repair
    limits: { memory: 64M }
  told:
    ${SLEEPS}
    limits: { memory: 64M }
  left:
    ${SLEEPS}
    drift: off
    limits: { memory: 64M }
`

testUnless(test, lacking, 'drift is repaired, only told, or left, as the file says', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', MANIFEST('paktdm'))
  await pak.ok(['up', '-d'])
  const before = await pids(pak)
  const file = (service: string) => memoryFile(before[`paktdm-${service}-1`] ?? 0)
  await settled(pak)
  for (const service of ['left', 'told', 'kept']) writeFileSync(file(service), String(128 * MEBI))
  await within3s('the limit is back', () => number(file('kept')) === 64 * MEBI)
  await told(pak, /drift\.found service\/told\/1 .*was 134217728, should be 67108864/)
  await settled(pak)
  assert.equal(
    eventsOf(pak)
      .filter((event) => /drift|repaired/.test(event))
      .map((event) => event.split(' ', 2)),
    [
      ['container.repaired', 'service/kept/1'],
      ['drift.found', 'service/told/1'],
    ],
  )
  for (const service of ['left', 'told']) assert.is(number(file(service)), 128 * MEBI)
  assert.match(await pak.ok(['plan']), /told/)
  await pak.ok(['up', '-d'])
  for (const service of ['left', 'told']) assert.is(number(file(service)), 64 * MEBI)
  assert.equal(await pids(pak), before)
})

testUnless(test, lacking, 'what was paused and thawed by others is paused again', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', `name: paktdt\ncontainers:\n  a:\n    ${SLEEPS}\n`)
  await pak.ok(['up', '-d'])
  await pak.ok(['pause'])
  const pid = (await pids(pak))['paktdt-a-1'] ?? 0
  await settled(pak)
  const folder = cgroupOf(pid, 'freezer')
  const old = join(folder, 'freezer.state')
  const isFrozen = () =>
    existsSync(old)
      ? readFileSync(old, 'utf8').trim() === 'FROZEN'
      : /^frozen 1$/m.test(readFileSync(join(folder, 'cgroup.events'), 'utf8'))
  assert.ok(isFrozen())
  if (existsSync(old)) writeFileSync(old, 'THAWED')
  else writeFileSync(join(folder, 'cgroup.freeze'), '0')
  await told(pak, /container\.repaired service\/a\/1 it was running, should be paused/)
  await within3s('it stands still again', isFrozen)
  await pak.ok(['unpause'])
  await settled(pak)
  assert.not.ok(isFrozen())
  assert.is((await containers(pak))['paktdt-a-1']?.state, 'running')
})

testUnless(test, lacking, 'a container that lost a mount gets it back with a new run', async () => {
  await using pak = await stage()
  const keys = `${SLEEPS}\n    tmpfs: /data`
  await pak.write('pak.yaml', `name: paktdu\ncontainers:\n  a:\n    ${keys}\n  b:\n    ${SLEEPS}\n`)
  await pak.ok(['up', '-d'])
  const before = await pids(pak)
  await settled(pak)
  within(before['paktdu-a-1'] ?? 0, 'mnt', 'umount', '/data')
  await told(pak, /container\.started service\/a\/1 tmpfs \/data was unmounted/)
  const after = await pids(pak)
  assert.is.not(after['paktdu-a-1'], before['paktdu-a-1'])
  assert.is(after['paktdu-b-1'], before['paktdu-b-1'])
  assert.match(readFileSync(`/proc/${after['paktdu-a-1']}/mounts`, 'utf8'), ' /data tmpfs ')
})

testUnless(test, lacking, 'forwarding and a flushed ruleset come back', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', `name: paktdn\ncontainers:\n  a:\n    ${SLEEPS}\n`)
  const agent = await agentInNetworkOfItsOwn(pak)
  await pak.ok(['up', '-d'])
  const here = (...command: readonly string[]) => within(agent, 'net', ...command)
  const forwards = () => here('cat', '/proc/sys/net/ipv4/ip_forward').trim() === '1'
  await settled(pak)
  assert.ok(forwards())
  here('sysctl', '-qw', 'net.ipv4.ip_forward=0')
  await within3s('the host forwards', forwards)
  await told(pak, /network\.created network\/default ip_forward was 0, should be 1/)
  const rules = here('nft', 'list', 'ruleset')
  assert.match(rules, 'table inet')
  here('nft', 'flush', 'ruleset')
  await within3s('the rules are back', () => here('nft', 'list', 'ruleset') === rules)
  await told(pak, /firewall.* project\/paktdn .*firewall: its table was gone/)
})

/** sysfs(5) shows the network of whoever mounted it; cgroups are mounted below it. */
const OWN_SYSFS = `set -e
mkdir -p "$1"; mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys; mount --rbind "$1" /sys/fs/cgroup; umount -l "$1"; rmdir "$1"
shift; exec "$@"`

/** What is the whole host's is not changed on this one: the agent works in a namespace; commands find it by its socket. */
async function agentInNetworkOfItsOwn(pak: PakSandbox): Promise<number> {
  const program = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')
  const inside = ['--net', '--mount', '--propagation', 'private', 'sh', '-c', OWN_SYSFS, 'sh']
  const start = [join(pak.folder, 'cgroup'), process.execPath, program, 'agent', 'start', '--stay']
  execFileSync('unshare', [...inside, ...start], {
    env: { PATH: process.env['PATH'], PAK_ROOT: pak.root, PAK_RUN_ROOT: pak.runRoot },
  })
  const { pid } = (await pak.json<{ pid: number }>(['agent', 'status'])) as { pid: number }
  within(pid, 'net', 'ip', 'link', 'set', 'lo', 'up')
  return pid
}

test.run()
