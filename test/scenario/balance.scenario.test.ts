// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ObservedState } from '../../src/model/observed.ts'
import { eventually } from '../support/eventually.ts'
import { historyText } from '../support/history.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { containers, freePort, lacking, pids, SERVES, SLEEPS, stage } from './stage.ts'

const MANIFEST = (port: number, more = '', network = '') => `name: paktb
containers:
  web:
    ${SERVES}
    replicas: 3
    ports: ["${port}:80"]
    networks: { front: { aliases: [shop] } }
    ${more}
  client:
    ${SLEEPS}
    networks: [front]
networks:
  front: ${network}
`
const ALL = ['paktb-web-1', 'paktb-web-2', 'paktb-web-3']

testUnless(
  test,
  lacking,
  'a name is one address, its connections and those of the port go to every replica',
  async () => {
    await using pak = await stage()
    const port = await freePort()
    await pak.write('pak.yaml', MANIFEST(port))
    await pak.ok(['up', '-d'])
    await eventually('all of them', async () => {
      assert.equal(await answers(pak, 'web'), ALL)
      return true
    })
    assert.equal(await published(port), ALL)
    assert.equal(await answers(pak, 'shop'), ALL)
    const [address, ...others] = await addresses(pak, 'web')
    assert.equal(others, [])
    assert.equal(await addresses(pak, 'shop'), [address])
    const replicas = Object.values(await containers(pak)).filter(({ service }) => service === 'web')
    const own = replicas.map(({ networks }) => networks['front']?.ip ?? '').sort()
    assert.equal((await addresses(pak, 'tasks.web')).sort(), own)
    assert.equal(await addresses(pak, 'paktb-web-2'), [own[1]])
    // A replica asks its own service, and may be given itself.
    assert.equal(await answers(pak, 'web', 'web'), ALL)
    // New containers, the same address; and down to one it stays.
    await pak.write('pak.yaml', MANIFEST(port, 'environment: { COLOR: blue }'))
    await pak.ok(['up', '-d'])
    assert.equal(await addresses(pak, 'web'), [address])
    await pak.ok(['scale', 'web=1'])
    assert.equal(await addresses(pak, 'web'), [address])
    assert.equal(await answers(pak, 'web'), ['paktb-web-1'])
    assert.equal(await published(port), ['paktb-web-1'])
    await pak.write('pak.yaml', MANIFEST(port, 'endpoint_mode: dnsrr'))
    await pak.ok(['up', '-d'])
    assert.equal((await addresses(pak, 'web')).sort(), own)
    assert.not.match(execFileSync('ip', ['addr'], { encoding: 'utf8' }), `${address}/32`)
    assert.equal(await published(port), ALL)
  },
)

testUnless(
  test,
  lacking,
  'a replica that dies gets no connection after one pass; one that is unhealthy neither',
  async () => {
    await using pak = await stage()
    const port = await freePort()
    const check = 'healthcheck: { test: "test ! -e /tmp/sick", interval: 200ms, retries: 1 }'
    await pak.write('pak.yaml', MANIFEST(port, check))
    await pak.ok(['up', '-d'])
    await eventually('all of them', async () => {
      assert.equal(await published(port), ALL)
      return true
    })
    process.kill((await pids(pak))['paktb-web-2'] ?? 0, 'SIGKILL')
    await eventually('without the one that died', async () => {
      assert.equal(await published(port), ['paktb-web-1', 'paktb-web-3'])
      return true
    })
    assert.equal(await answers(pak, 'web'), ['paktb-web-1', 'paktb-web-3'])
    await pak.ok(['exec', '--index', '3', 'web', 'touch', '/tmp/sick'])
    await eventually('without the sick one', async () => {
      assert.equal(await published(port), ['paktb-web-1'])
      return true
    })
    await pak.ok(['up', '-d'])
    await pak.ok(['exec', '--index', '3', 'web', 'rm', '/tmp/sick'])
    await eventually('all of them again', async () => {
      assert.equal(await published(port), ALL)
      assert.equal(await answers(pak, 'web'), ALL)
      return true
    })
    const causes = historyText(pak.root)
    assert.match(causes, '"path":"balancing"')
    assert.not.match(causes, '"type":"drift.left"')
  },
)

const GREETER = `require('net').createServer((s) => {
  s.on('error', () => {}).write(require('os').hostname() + '\\n')
  s.on('data', (d) => s.write(d))
}).listen(80)`

testUnless(
  test,
  lacking,
  'under load a replica is killed: the others keep their connections, and get all new ones',
  async () => {
    await using pak = await stage()
    const port = await freePort()
    const command = JSON.stringify([process.execPath, '-e', GREETER])
    const service = `rootfs: /\n    stop_signal: SIGKILL\n    command: ${command}`
    await pak.write(
      'pak.yaml',
      `name: paktb\ncontainers:\n  web:\n    ${service}\n    replicas: 4\n    ports: ["${port}:80"]\n`,
    )
    await pak.ok(['up', '-d'])
    await eventually('all of them', async () => {
      const names = await Promise.all(Array.from({ length: 40 }, () => greeting(port)))
      return new Set(names).size === 4 && !names.includes('')
    })
    const held = await Promise.all(Array.from({ length: 40 }, () => hold(port)))
    const victim = 'paktb-web-3'
    await using load = startLoad(port)
    const pid = (await pids(pak))[victim]
    assert.ok(pid)
    process.kill(pid, 'SIGKILL')
    await eventually('a pass', async () => {
      const { firewall } = JSON.parse(await pak.ok(['inspect'])) as ObservedState
      return !firewall.published.some(({ container }) => container === victim)
    })
    load.mark()
    await eventually('hundreds of connections', () => load.since.length > 400)
    await load[Symbol.asyncDispose]()
    assert.equal([...new Set(load.since)].sort(), ['paktb-web-1', 'paktb-web-2', 'paktb-web-4'])
    for (const { name, socket, echo } of held) {
      if (name !== victim) assert.is(await echo(), '?', name)
      socket.destroy()
    }
    assert.ok(held.some(({ name }) => name === victim))
  },
)

testUnless(test, lacking, 'what balances comes back after a flush', async () => {
  await using pak = await stage()
  const port = await freePort()
  // Declared: what is put right must not be taken for somebody else's route.
  await pak.write('pak.yaml', MANIFEST(port, '', '{ subnet: 10.214.7.0/24 }'))
  await pak.ok(['up', '-d'])
  const [address = ''] = await addresses(pak, 'web')
  const table = tableWith(address)
  for (const command of [
    ['delete', 'table', 'inet', table],
    ['delete', 'table', 'bridge', table],
    ['flush', 'map', 'inet', table, 'balanced_any'],
  ]) {
    execFileSync('nft', command)
    await eventually(`nft ${command.join(' ')}`, async () => {
      assert.equal(await published(port), ALL)
      assert.equal(await answers(pak, 'web'), ALL)
      return true
    })
  }
  execFileSync('ip', ['addr', 'del', `${address}/32`, 'dev', bridgeWith(address) ?? ''])
  await eventually('the address', () => bridgeWith(address) !== null)
  await pak.ok(['down'])
  assert.not.match(execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }), table)
})

/** What the server says first; empty where nothing comes. */
function greeting(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    // A machine that is busy with other things is slow, and not out of replicas.
    socket.setTimeout(10_000, () => socket.destroy())
    socket
      .on('error', () => {})
      .once('data', (data) => {
        resolve(String(data).trim())
        socket.destroy()
      })
    socket.once('close', () => resolve(''))
  })
}

interface Held {
  readonly name: string
  readonly socket: Socket
  /** What comes back for `?`. */
  echo(): Promise<string>
}

async function hold(port: number): Promise<Held> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  const heard = async () => {
    const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(3_000) })
    return String(data)
  }
  const name = (await heard()).trim()
  const echo = () => {
    socket.write('?')
    return heard().catch(() => 'nothing')
  }
  return { name, socket, echo }
}

/** Connects without pause, eight at a time; `since` is who answered those that began after the mark. */
function startLoad(port: number) {
  const since: string[] = []
  let [marked, going] = [false, true]
  const worker = async () => {
    while (going) {
      const counts = marked
      const name = await greeting(port)
      if (counts) since.push(name)
    }
  }
  const workers = Array.from({ length: 8 }, worker)
  const mark = () => {
    marked = true
  }
  return {
    since,
    mark,
    async [Symbol.asyncDispose]() {
      going = false
      await Promise.all(workers)
    },
  }
}

/** Who answers when the service is asked often, from inside another one. */
async function answers(pak: PakSandbox, name: string, from = 'client'): Promise<readonly string[]> {
  const script = `for i in $(seq 30); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${name} 80 | tail -n 1; done`
  return distinct((await pak.ok(['exec', from, 'sh', '-c', script])).split('\n'))
}

/** The same by the published port, with a connection each. */
async function published(port: number): Promise<readonly string[]> {
  const pages = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const options = { signal: AbortSignal.timeout(3_000), headers: { connection: 'close' } }
      return (await fetch(`http://127.0.0.1:${port}/`, options)).text()
    }),
  )
  return distinct(pages)
}

const distinct = (texts: readonly string[]): readonly string[] =>
  [...new Set(texts.map((text) => text.trim()))].filter((text) => text !== '').sort()

/** With `nslookup`: a static busybox has no other way to show all addresses of a name. */
async function addresses(pak: PakSandbox, name: string): Promise<string[]> {
  const { stdout } = await pak.run(['exec', 'client', 'nslookup', '-type=a', name])
  return [...stdout.matchAll(/^Address(?: \d+)?: ([\d.]+)$/gm)].map(([, found = '']) => found)
}

function tableWith(address: string): string {
  let table = ''
  for (const line of execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }).split('\n')) {
    table = /^table inet (\S+)/.exec(line)?.[1] ?? table
    if (line.includes(address)) return table
  }
  throw new Error(`no nft table has ${address}`)
}

function bridgeWith(address: string): string | null {
  const links = JSON.parse(execFileSync('ip', ['-j', 'addr'], { encoding: 'utf8' })) as readonly {
    readonly ifname: string
    readonly addr_info: readonly { readonly local?: string }[]
  }[]
  return (
    links.find(({ addr_info }) => addr_info.some(({ local }) => local === address))?.ifname ?? null
  )
}

test.run()
