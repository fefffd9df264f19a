// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { containers, lacking, SERVES, stage } from './stage.ts'

interface Facts {
  readonly name: string
  readonly project: string | null
  readonly bridge: string
  readonly subnet: string
  readonly gateway: string
  readonly containers: Readonly<Record<string, { readonly project: string; readonly ip: string }>>
  readonly services: Readonly<Record<string, string>>
}

/** A service on its own network and on the one made by hand. */
const project = (name: string, service: string, more = '') => `name: ${name}
containers:
  ${service}:
    ${SERVES}
    networks: [own, edge]
    ${more}
networks:
  own: { attachable: ${name === 'pakto'} }
  edge: { external: true }
`

/** What a service's container gets from a host, by name or address; empty: nothing. */
const fetched = async (pak: PakSandbox, from: string, host: string): Promise<string> => {
  const [name = '', service = ''] = from.split('/')
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 ${host} 80 2>/dev/null | tail -n 1`
  return (await pak.run(['-p', name, 'exec', '-T', service, 'sh', '-c', script])).stdout.trim()
}

const facts = async (pak: PakSandbox, name: string): Promise<Facts> => {
  const [found] = JSON.parse(await pak.ok(['network', 'inspect', name])) as Facts[]
  assert.ok(found)
  return found as Facts
}

testUnless(
  test,
  lacking,
  'a network made by hand is joined by projects, and outlives them',
  async () => {
    await using pak = await stage()
    await pak.write(
      'one/pak.yaml',
      project('pakto', 'web', 'replicas: 2').replaceAll('./rootfs', '../rootfs'),
    )
    await pak.write('two/pak.yaml', project('paktt', 'db').replaceAll('./rootfs', '../rootfs'))
    const up = (folder: string) => pak.run(['-f', `${folder}/pak.yaml`, 'up', '-d'])

    // Before it is there, nothing is done, and what to do is said.
    const early = await up('one')
    assert.is(early.exitCode, 1)
    assert.match(early.stderr, 'network `edge`: there is none')
    assert.match(early.stderr, 'pak network create edge')
    assert.equal(await pak.json(['network', 'ls']), [])

    const created = await pak.ok([
      'network',
      'create',
      '--subnet',
      '10.213.7.0/24',
      '--label',
      'a=b',
      'edge',
    ])
    assert.is(created, 'edge\n')
    assert.match((await pak.run(['network', 'create', 'edge'])).stderr, 'there is one')
    const wrong = await pak.run(['network', 'create', '--subnet', '10.213.7.0/33', 'more'])
    assert.is(wrong.exitCode, 2)
    assert.match(
      (await pak.run(['network', 'create', '--gateway', '10.1.1.1', 'more'])).stderr,
      'needs a `subnet`',
    )
    const taken = await pak.run(['network', 'create', '--subnet', '10.213.7.128/25', 'more'])
    assert.match(taken.stderr, 'overlaps')
    assert.is(taken.exitCode, 1)
    assert.is((await facts(pak, 'edge')).project, null)

    assert.is((await up('one')).exitCode, 0)
    assert.is((await up('two')).exitCode, 0)
    assert.match(await pak.ok(['-f', 'two/pak.yaml', 'plan']), /nothing|no changes/i)

    // By name across projects, with replicas behind one address; and not on networks that they do not share.
    await eventually('db fetches web', async () =>
      /pakto-web-[12]/.test(await fetched(pak, 'paktt/db', 'web')),
    )
    await eventually(
      'db fetches a replica',
      async () => (await fetched(pak, 'paktt/db', 'pakto-web-2')) === 'pakto-web-2',
    )
    await eventually(
      'web fetches db',
      async () => (await fetched(pak, 'pakto/web', 'db')) === 'paktt-db-1',
    )
    const there = await containers(pak, '-p', 'pakto')
    const own = there['pakto-web-1']?.networks['own']?.ip ?? ''
    assert.match(own, /^\d/)
    assert.is(await fetched(pak, 'paktt/db', own), '')
    const edge = await facts(pak, 'edge')
    assert.equal(Object.keys(edge.containers), ['pakto-web-1', 'pakto-web-2', 'paktt-db-1'])
    assert.equal(Object.keys(edge.services), ['pakto/web'])

    // Nobody takes it away from under them.
    const refused = await pak.run(['network', 'rm', 'edge'])
    assert.is(refused.exitCode, 1)
    assert.match(refused.stderr, 'paktt-db-1 of project paktt')
    assert.is(await pak.ok(['network', 'prune', '-f']), '')

    // It comes back as any other does, with everybody on it; also when the agent is made anew.
    await pak.ok(['agent', 'stop'])
    execFileSync('ip', ['link', 'del', edge.bridge])
    await eventually('db fetches web again', async () =>
      /pakto-web/.test(await fetched(pak, 'paktt/db', 'web')),
    )

    await pak.ok(['-f', 'one/pak.yaml', 'down', '-t', '0'])
    assert.is(existsSync(`/sys/class/net/${edge.bridge}`), true)
    assert.equal(Object.keys((await facts(pak, 'edge')).containers), ['paktt-db-1'])
    await pak.ok(['-f', 'two/pak.yaml', 'down', '-t', '0'])
    const asked = await pak.run(['network', 'prune'])
    assert.is(asked.exitCode, 2)
    assert.match(asked.stderr, '-f removes edge')
    assert.is(await pak.ok(['network', 'rm', 'edge']), 'edge\n')
    assert.is(existsSync(`/sys/class/net/${edge.bridge}`), false)
    // It was all that the agent looked after.
    assert.is(existsSync(`${pak.runRoot}/pak.sock`), false)
  },
)

test.run()
