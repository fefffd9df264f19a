// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Machine, machine } from '../network/lab.ts'
import { eventually, slowness } from '../support/eventually.ts'
import { pakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { within } from './machines.ts'
import { containers, lacking, type Row } from './stage.ts'

/** Answers each client with the address that it sees of it, by TCP and UDP, on both families. */
const SEES = `const bare = (a) => a.replace('::ffff:', '')
require('net').createServer((s) => s.on('error', () => {}).end(bare(s.remoteAddress))).listen(80, '::')
const u = require('dgram').createSocket('udp6').bind(80)
u.on('message', (_, from) => u.send(bare(from.address), from.port, from.address))`

/** Asks many at once: \`[[protocol, address, port], ...]\`; prints what each has answered, \`null\` for nothing. */
const ASKS = `const [asked, ms] = process.argv.slice(1)
const ask = ([protocol, address, port]) => new Promise((done) => {
  setTimeout(() => done(null), Number(ms))
  if (protocol === 'tcp') {
    const s = require('net').connect(port, address)
    return s.on('data', (d) => done(String(d))).on('error', () => done(null)).on('close', () => done(null))
  }
  const s = require('dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
  s.on('message', (d) => done(String(d))).on('error', () => done(null))
  s.connect(port, address, (e) => e ? done(null) : s.send('?'))
})
Promise.all(JSON.parse(asked).map(ask)).then((all) => { console.log(JSON.stringify(all)); process.exit() })`

const [EVERYWHERE, LOCAL, SIX] = [8001, 8002, 8003]

const MANIFEST = `name: paktm
containers:
  web:
    rootfs: /
    stop_signal: SIGKILL
    command: ${JSON.stringify([process.execPath, '-e', SEES])}
    networks: [front]
    ports:
      - "${EVERYWHERE}:80"
      - "${EVERYWHERE}:80/udp"
      - "127.0.0.1:${LOCAL}:80"
      - "127.0.0.1:${LOCAL}:80/udp"
      - "[::]:${SIX}:80"
      - "[::]:${SIX}:80/udp"
  near:
    rootfs: /
    stop_signal: SIGKILL
    command: [sleep, "100000"]
    networks: [front]
  far:
    rootfs: /
    stop_signal: SIGKILL
    command: [sleep, "100000"]
    networks: [back]
networks:
  front:
    enable_ipv6: true
    ipam: { config: [{ subnet: 10.91.1.0/24 }, { subnet: "fd00:91:1::/64" }] }
  back:
    enable_ipv6: true
    ipam: { config: [{ subnet: 10.91.2.0/24 }, { subnet: "fd00:91:2::/64" }] }
`
const HOST = { four: '192.0.2.1', six: '2001:db8::1' }
const OTHER = { four: '192.0.2.2', six: '2001:db8::2' }
const GATEWAY = { four: '10.91.1.1', six: 'fd00:91:1::1' }

type Question = readonly [protocol: 'tcp' | 'udp', address: string, port: number]

interface Case {
  readonly from: string
  readonly address: string
  readonly port: number
  /** The client that the container sees; `null`: it is not reached. */
  readonly sees: string | null
}

/** Reachable exactly here. */
function casesOf(web: { readonly four: string; readonly six: string }): readonly Case[] {
  const inside = ['web', 'near', 'far'].flatMap((from): Case[] => [
    { from, address: HOST.four, port: EVERYWHERE, sees: GATEWAY.four },
    { from, address: HOST.six, port: EVERYWHERE, sees: GATEWAY.six },
    { from, address: HOST.six, port: SIX, sees: GATEWAY.six },
    { from, address: HOST.four, port: SIX, sees: null },
    { from, address: HOST.four, port: LOCAL, sees: null },
    { from, address: HOST.six, port: LOCAL, sees: null },
  ])
  return [
    { from: 'host', address: '127.0.0.1', port: EVERYWHERE, sees: GATEWAY.four },
    { from: 'host', address: '127.0.0.1', port: LOCAL, sees: GATEWAY.four },
    { from: 'host', address: '127.0.0.1', port: SIX, sees: null },
    { from: 'host', address: '::1', port: EVERYWHERE, sees: null },
    { from: 'host', address: '::1', port: LOCAL, sees: null },
    { from: 'host', address: '::1', port: SIX, sees: null },
    { from: 'host', address: HOST.four, port: EVERYWHERE, sees: GATEWAY.four },
    { from: 'host', address: HOST.four, port: LOCAL, sees: null },
    { from: 'host', address: HOST.six, port: EVERYWHERE, sees: GATEWAY.six },
    { from: 'host', address: HOST.six, port: LOCAL, sees: null },
    { from: 'host', address: HOST.six, port: SIX, sees: GATEWAY.six },
    { from: 'other', address: HOST.four, port: EVERYWHERE, sees: OTHER.four },
    { from: 'other', address: HOST.four, port: LOCAL, sees: null },
    { from: 'other', address: HOST.four, port: SIX, sees: null },
    { from: 'other', address: HOST.six, port: EVERYWHERE, sees: OTHER.six },
    { from: 'other', address: HOST.six, port: LOCAL, sees: null },
    { from: 'other', address: HOST.six, port: SIX, sees: OTHER.six },
    // By way of this host, as if it were a router: to what is only for it, and to containers themselves.
    { from: 'other', address: '127.0.0.1', port: LOCAL, sees: null },
    { from: 'other', address: web.four, port: 80, sees: null },
    { from: 'other', address: web.six, port: 80, sees: null },
    ...inside,
    { from: 'near', address: web.four, port: 80, sees: '10.91.1.2' },
    { from: 'near', address: web.six, port: 80, sees: 'fd00:91:1::2' },
    { from: 'far', address: web.four, port: 80, sees: null },
    { from: 'far', address: web.six, port: 80, sees: null },
  ]
}

testUnless(
  test,
  lacking,
  'from everywhere to every port by tcp and udp, over IPv4 and IPv6: reached where it should be, by whom',
  async () => {
    await using host = await machine()
    await using other = await machine()
    await wire(host, other)
    await using pak = await pakSandbox(undefined, within(host))
    await pak.write('pak.yaml', MANIFEST)
    await pak.ok(['up', '-d'])
    const rows = await containers(pak)
    const web = addressesOf(rows['paktm-web-1'])
    assert.equal(addressesOf(rows['paktm-near-1']), { four: '10.91.1.2', six: 'fd00:91:1::2' })
    const pids: Readonly<Record<string, number>> = {
      host: host.pid,
      other: other.pid,
      ...Object.fromEntries(Object.values(rows).map(({ service, pid }) => [service, pid])),
    }
    await eventually('the server', async () => {
      const [answer] = await asked(host, host.pid, [['tcp', HOST.six, EVERYWHERE]])
      return answer !== null
    })
    const cases = casesOf(web)
    for (const from of new Set(cases.map((each) => each.from))) {
      const own = cases.filter((each) => each.from === from)
      const questions = own.flatMap(({ address, port }): Question[] => [
        ['tcp', address, port],
        ['udp', address, port],
      ])
      const answers = await asked(host, pids[from] ?? 0, questions)
      for (const [index, { address, port, sees }] of own.entries())
        for (const [offset, protocol] of ['tcp', 'udp'].entries())
          assert.is(
            answers[2 * index + offset],
            sees,
            `from ${from} by ${protocol} to ${address} ${port}`,
          )
    }
    assert.equal((await pak.json<{ steps: unknown[] }>(['plan'])).steps, [])
  },
)

testUnless(
  test,
  lacking,
  'a lost IPv6 address and IPv6 forwarding that was switched off come back; a taken subnet is refused',
  async () => {
    await using host = await machine()
    await using other = await machine()
    await wire(host, other)
    await using pak = await pakSandbox(undefined, within(host))
    await pak.write('pak.yaml', MANIFEST)
    await pak.ok(['up', '-d'])
    const rows = await containers(pak)
    const { pid = 0 } = rows['paktm-web-1'] ?? {}
    const { six } = addressesOf(rows['paktm-web-1'])
    assert.equal((await pak.json<{ steps: unknown[] }>(['plan'])).steps, [])
    const bridge = /fd00:91:1::\/64 dev (\S+)/.exec(await host.run('ip', '-6', 'route'))?.[1] ?? ''
    const damage = [
      ['ip', 'addr', 'del', `${GATEWAY.six}/64`, 'dev', bridge],
      ['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=0'],
      ['nsenter', '--net', '-t', `${pid}`, 'ip', 'addr', 'del', `${six}/64`, 'dev', 'eth0'],
      ['nsenter', '--net', '-t', `${pid}`, 'ip', '-6', 'route', 'del', 'default'],
    ] as const
    for (const [file, ...args] of damage) {
      await host.run(file, ...args)
      await eventually(`${file} ${args.join(' ')} undone`, async () => {
        const [answer] = await asked(host, other.pid, [['tcp', HOST.six, EVERYWHERE]])
        return answer === OTHER.six
      })
    }
    const [front] = JSON.parse(await pak.ok(['network', 'inspect', 'front']))
    assert.is(front.subnet6, 'fd00:91:1::/64')
    assert.equal(front.containers['paktm-web-1'], {
      ...{ project: 'paktm', aliases: [], byHand: false },
      ...{ ip: '10.91.1.3', ip6: six },
    })
    const unknown = await pak.run(['network', 'inspect', 'frnt'])
    assert.match(unknown.stderr, 'no such network in paktm')
    const events = await pak.ok(['events', '--since', '10m'])
    assert.match(events, `lost its address ${GATEWAY.six}`)
    assert.match(events, 'forwarding of IPv6 was 0, should be 1')
    assert.match(events, `eth0 lost its address ${six}`)
    assert.match(events, `the default route by ${GATEWAY.six} was gone`)
    await pak.write('other.yaml', MANIFEST.replace('paktm', 'pakto').replaceAll(/800/g, '810'))
    const { exitCode, stderr } = await pak.run(['up', '-d', '-f', 'other.yaml'])
    assert.is.not(exitCode, 0)
    assert.match(stderr, "subnet fd00:91:1::/64 overlaps this host's route")
  },
)

/** A link between two machines; the other one takes the host for its router, and is no honest one. */
async function wire(host: Machine, other: Machine): Promise<void> {
  const peer = ['peer', 'name', 'up0', 'netns', `${other.pid}`]
  await host.run('ip', 'link', 'add', 'up0', 'type', 'veth', ...peer)
  for (const [end, at] of [
    [host, HOST],
    [other, OTHER],
  ] as const) {
    await end.run('ip', 'addr', 'add', `${at.four}/24`, 'dev', 'up0')
    await end.run('ip', 'addr', 'add', `${at.six}/64`, 'dev', 'up0', 'nodad')
    await end.run('ip', 'link', 'set', 'up0', 'up')
  }
  await host.run('ip', 'route', 'add', 'default', 'via', OTHER.four)
  await host.run('ip', 'route', 'add', '::/0', 'via', OTHER.six)
  await other.run('ip', 'route', 'add', 'default', 'via', HOST.four)
  await other.run('ip', 'route', 'add', '::/0', 'via', HOST.six)
  await other.run('ip', 'addr', 'del', '127.0.0.1/8', 'dev', 'lo')
  await other.run('sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1')
  await other.run('ip', 'route', 'add', '127.0.0.1/32', 'via', HOST.four, 'src', OTHER.four)
}

async function asked(
  host: Machine,
  pid: number,
  questions: readonly Question[],
): Promise<readonly (string | null)[]> {
  const words = [JSON.stringify(questions), `${1500 * slowness}`]
  const inside = ['--net', '-t', `${pid}`, process.execPath, '-e', ASKS, ...words]
  return JSON.parse(await host.run('nsenter', ...inside))
}

function addressesOf(row: Row | undefined): { readonly four: string; readonly six: string } {
  const { ip = '', ip6 = '' } = Object.values(row?.networks ?? {})[0] ?? {}
  return { four: ip, six: ip6 ?? '' }
}

test.run()
