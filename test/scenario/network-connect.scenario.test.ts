// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { containers, lacking, runs, SERVES, stage } from './stage.ts'

const EDGE = ['--ipv6', '--subnet', '10.213.9.0/24', '--subnet', 'fd00:213:9::/64']
const SERVES_HERE = SERVES.replaceAll('./rootfs', '../rootfs')

const ONE = `name: paktc
containers:
  web:
    ${SERVES_HERE}
    networks: [front, open]
  db:
    ${SERVES_HERE}
    networks: [front]
  safe:
    ${SERVES_HERE}
    networks: [front]
    policies: { ingress: { allow: [{ from: db }] } }
networks:
  front: {}
  open: { attachable: true }
`
const TWO = `name: paktd
containers:
  blog:
    ${runs('exec sleep 100000').replaceAll('./rootfs', '../rootfs')}
`

/** What a service's container gets from a host, by name or address; empty: nothing. */
const fetched = async (pak: PakSandbox, from: string, host: string): Promise<string> => {
  const [name = '', service = ''] = from.split('/')
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 ${host} 80 2>/dev/null | tail -n 1`
  return (await pak.run(['-p', name, 'exec', '-T', service, 'sh', '-c', script])).stdout.trim()
}

const interfaces = (pid: number): readonly string[] =>
  execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', '-br', 'link'], { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => /^(eth\d+)@/.exec(line)?.[1] ?? [])
    .sort()

testUnless(test, lacking, 'a container is put on networks by hand, and taken off', async () => {
  await using pak = await stage()
  await pak.write('one/pak.yaml', ONE)
  await pak.write('two/pak.yaml', TWO)
  const one = (...words: readonly string[]) => pak.run(['-f', 'one/pak.yaml', ...words])
  const hand = (...words: readonly string[]) => pak.run(['network', ...words])
  const done = async (...words: readonly string[]) => {
    const { exitCode, stderr } = await hand(...words)
    assert.is(exitCode, 0, stderr)
  }
  await done('create', ...EDGE, 'edge')
  assert.is((await one('up', '-d')).exitCode, 0)
  assert.is((await pak.run(['-f', 'two/pak.yaml', 'up', '-d'])).exitCode, 0)
  const pidOf = async (name: string) =>
    (await containers(pak, '-p', name.slice(0, 5)))[name]?.pid ?? 0
  const webPid = await pidOf('paktc-web-1')

  // At once, in place, with the names and the address that were asked for; for others by its own name only.
  await done(
    'connect',
    '--ip',
    '10.213.9.77',
    '--ip6',
    'fd00:213:9:0::77',
    '--alias',
    'www',
    'edge',
    'paktc-web-1',
  )
  await done('connect', 'edge', 'paktd-blog-1')
  assert.is(await fetched(pak, 'paktd/blog', 'www'), 'paktc-web-1')
  assert.is(await fetched(pak, 'paktd/blog', 'paktc-web-1'), 'paktc-web-1')
  assert.is(await fetched(pak, 'paktd/blog', '10.213.9.77'), 'paktc-web-1')
  assert.is(await fetched(pak, 'paktd/blog', 'web'), '')
  assert.is(await pidOf('paktc-web-1'), webPid)
  assert.equal(interfaces(webPid), ['eth0', 'eth1', 'eth2'])
  const [edge] = JSON.parse((await hand('inspect', 'edge')).stdout)
  assert.equal(edge.containers['paktc-web-1'], {
    project: 'paktc',
    ip: '10.213.9.77',
    ip6: 'fd00:213:9::77',
    aliases: ['www'],
    byHand: true,
  })
  assert.match((await hand('rm', 'edge')).stderr, 'paktc-web-1 of project paktc')

  // What cannot be is refused, and changes nothing.
  const refusals = [
    [['connect', 'edge', 'paktc-web-1'], 1, 'on network `edge` already'],
    [['connect', 'paktc/front', 'paktd-blog-1'], 1, 'it is for project paktc alone'],
    [['connect', 'nowhere', 'paktd-blog-1'], 1, 'network `nowhere`: there is none'],
    [['connect', '--ip', '10.213.9.77', 'edge', 'paktc-db-1'], 1, '10.213.9.77'],
    [['connect', '--ip', 'x', 'edge', 'paktc-db-1'], 2, 'expected an IPv4 address'],
    [['connect', '--ip6', 'fd00::1', 'paktc/open', 'paktd-blog-1'], 1, 'has no IPv6'],
    [['connect', 'edge', 'nobody'], 1, 'container `nobody`: there is none'],
    [['disconnect', 'edge', 'paktc-db-1'], 1, 'it is not on network `edge`'],
  ] as const
  for (const [words, status, told] of refusals) {
    const { exitCode, stderr } = await hand(...words)
    assert.match(stderr, told)
    assert.is(exitCode, status, stderr)
  }
  await done('disconnect', '-f', 'edge', 'paktc-db-1')

  // Nothing undoes it but who did it; a lost end comes back.
  const note = '`paktc-web-1` is on network `edge` by hand'
  const plan = await one('plan')
  assert.match(plan.stdout + plan.stderr, note)
  assert.match(plan.stdout, 'nothing to do')
  assert.is((await one('up', '-d')).exitCode, 0)
  execFileSync('nsenter', [`--net=/proc/${webPid}/ns/net`, 'ip', 'link', 'del', 'eth2'])
  await eventually('the lost end is back', async () => interfaces(webPid).includes('eth2'))
  await eventually(
    'it answers again',
    async () => (await fetched(pak, 'paktd/blog', 'www')) === 'paktc-web-1',
  )
  await pak.ok(['agent', 'stop'])
  assert.is(await fetched(pak, 'paktd/blog', 'www'), 'paktc-web-1')

  // Policies hold there, too; and one that does not run comes up with it.
  await done('connect', '--alias', 'vault', 'edge', 'paktc-safe-1')
  await one('stop', 'db')
  await done('connect', 'edge', 'paktc-db-1')
  await one('start', 'db')
  await eventually(
    'one that did not run answers',
    async () => (await fetched(pak, 'paktd/blog', 'paktc-db-1')) === 'paktc-db-1',
  )
  assert.is(await fetched(pak, 'paktd/blog', 'vault'), '')
  assert.is(await fetched(pak, 'paktc/db', 'vault'), 'paktc-safe-1')

  // Off the file's own network, it still asks for names, on those that are left; and back, as it was.
  await done('connect', 'paktc/open', 'paktd-blog-1')
  assert.is(await fetched(pak, 'paktd/blog', 'web'), 'paktc-web-1')
  await done('disconnect', 'front', 'paktc-web-1')
  assert.is(await fetched(pak, 'paktc/db', 'web'), '')
  assert.is(await fetched(pak, 'paktc/web', 'vault'), '')
  assert.is(await fetched(pak, 'paktc/web', 'paktc-db-1'), 'paktc-db-1')
  assert.match((await one('plan')).stdout, '`paktc-web-1` was taken off network `front` by hand')
  await done('connect', 'front', 'paktc-web-1')
  assert.equal(interfaces(webPid), ['eth0', 'eth1', 'eth2'])
  assert.is(await fetched(pak, 'paktc/db', 'web'), 'paktc-web-1')
  await done('disconnect', 'edge', 'paktc-web-1')
  assert.equal(interfaces(webPid), ['eth0', 'eth1'])
  assert.is(await fetched(pak, 'paktd/blog', 'www'), '')

  // Made anew it is where its file says.
  const { stdout } = await one('plan', '--force-recreate')
  assert.match(stdout, '`paktc-db-1` is made anew')
  assert.is((await one('up', '-d', '--force-recreate', 'db')).exitCode, 0)
  assert.equal(interfaces(await pidOf('paktc-db-1')), ['eth0'])
  assert.not.match((await one('plan')).stdout, 'paktc-db-1')
  const again = JSON.parse((await hand('inspect', 'edge')).stdout)
  assert.equal(Object.keys(again[0].containers), ['paktc-safe-1', 'paktd-blog-1'])

  const words = ['__complete', '--', 'network', 'disconnect', 'edge', 'paktd']
  assert.match(await pak.ok(words), 'paktd-blog-1')
  assert.is((await one('down', '-t', '0')).exitCode, 1)
  await done('disconnect', 'paktc/open', 'paktd-blog-1')
  assert.is((await one('down', '-t', '0')).exitCode, 0)
  assert.is((await pak.run(['-f', 'two/pak.yaml', 'down', '-t', '0'])).exitCode, 0)
  await done('rm', 'edge')
})

test.run()
