import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Machine } from '../network/lab.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { fleet, lacksWireguard, tellIn } from './machines.ts'
import { lacking, pids } from './stage.ts'

const manifest = (peers: string): string => `name: paktw
containers:
  near:
    rootfs: /
    stop_signal: SIGKILL
    command: [sleep, "100000"]
    networks: [mesh]
  far-away:
    rootfs: /
    stop_signal: SIGKILL
    hosts: [two]
    command: [sleep, "100000"]
    networks: [mesh]
networks:
  mesh:
    driver: vxlan
    subnet: 10.62.0.0/16
    ${peers}
`
const PLAIN = manifest('peers: { one: 192.0.2.1, two: 192.0.2.2 }')
/** Eight bytes that a container sends, and eight of a question for a name. */
const WORDS = { said: 'in-clear', asked: 'far-away' }

testUnless(
  test,
  lacking ?? lacksWireguard(),
  'who is between two machines reads what they say, and with WireGuard nothing',
  async () => {
    await using machines = await fleet(2)
    const [one, two] = machines.sandboxes
    const [first] = machines.machines
    assert.ok(one !== undefined && two !== undefined && first !== undefined)
    const { exchange } = machines
    await listen(exchange)
    await up([one, two], PLAIN)
    await talk(one)
    const plain = await heard(exchange)
    assert.ok(plain.said > 0 && plain.asked > 0 && plain.vxlan > 0, 'the listener hears nothing')
    assert.is(plain.wireguard, 0)

    const keys = await Promise.all([one, two].map((pak) => pak.ok(['network', 'key'])))
    const [own = '', other = ''] = keys.map((key) => key.trim())
    const secret = manifest(`encrypted: true
    peers:
      one: { address: 192.0.2.1, public_key: ${own} }
      two: { address: 192.0.2.2, public_key: ${other} }`)
    await one.write('wrong.yaml', secret.replaceAll(own, other))
    const { stderr } = await one.run(['up', '-d', '-f', 'wrong.yaml'])
    assert.match(stderr, `is not this machine's`)
    await up([one, two], secret)
    await listen(exchange)
    await talk(one)
    const sealed = await heard(exchange)
    assert.equal({ ...sealed, wireguard: 0 }, { said: 0, asked: 0, vxlan: 0, wireguard: 0 })
    assert.ok(sealed.wireguard > 0)

    const [, device = ''] = /^\d+: (\w+):/.exec(await links(first)) ?? []
    await first.run('ip', 'link', 'del', device)
    await eventually('the device is back', async () => (await links(first)).includes(device))
    await talk(one)
    assert.match(await one.ok(['events', '--since', '30m']), `wireguard ${device} is gone`)
    const after = await heard(exchange)
    assert.equal([after.said, after.asked, after.vxlan], [0, 0, 0])
    assert.equal((await one.json<{ steps: unknown[] }>(['plan'])).steps, [])
    await one.ok(['down'])
    assert.is(await links(first), '')
  },
)

const links = (machine: Machine): Promise<string> =>
  machine.run('ip', '-o', 'link', 'show', 'type', 'wireguard')

async function up(sandboxes: readonly PakSandbox[], text: string): Promise<void> {
  await Promise.all(sandboxes.map((pak) => pak.write('pak.yaml', text)))
  await Promise.all(sandboxes.map((pak) => pak.ok(['up', '-d'])))
}

/** A container asks for a name that only the other machine has, and sends what it must not say aloud. */
async function talk(pak: PakSandbox): Promise<void> {
  const { asked, said } = WORDS
  const { 'paktw-near-1': near = 0 } = await pids(pak)
  await eventually('the name of the other machine', async () => {
    const text = await tellIn(near, 'getent', 'ahostsv4', asked)
    return text.startsWith('10.62.64.2')
  })
  const send = `printf %s ${said} >/dev/udp/${asked}/9; busybox ping -c1 -W2 ${asked}`
  await eventually('the other machine', async () => {
    const text = await tellIn(near, 'bash', '-c', send)
    return text.includes(' 0% packet loss')
  })
}

/**
 * Counts the packets between the machines that hold one of the words, wherever in their first 255
 * bytes (so far nftables can see), and those of the two protocols. Before br_netfilter, which takes
 * packets out of the bridge's own chains.
 */
async function listen(exchange: Machine): Promise<void> {
  const search = Object.entries(WORDS).flatMap(([name, word]) =>
    Array.from({ length: 240 }, (_, at) => {
      const hex = Buffer.from(word, 'latin1').toString('hex')
      return `@nh,${8 * at},64 0x${hex} counter name ${name}`
    }),
  )
  const counters = [...Object.keys(WORDS), 'vxlan', 'wireguard']
  const script = [
    'table bridge ear',
    'delete table bridge ear',
    'table bridge ear {',
    ...counters.map((name) => `counter ${name} { }`),
    'chain passing {',
    'type filter hook forward priority -100;',
    'udp dport 4789 counter name vxlan',
    'udp dport 51820 counter name wireguard',
    ...search,
    '}',
    '}',
  ].join('\n')
  const load = `printf '%s' "$1" | nft -f - && echo listening`
  assert.is(await exchange.run('sh', '-c', load, 'sh', script), 'listening')
}

/** Packets. */
interface Heard {
  readonly said: number
  readonly asked: number
  readonly vxlan: number
  readonly wireguard: number
}

async function heard(exchange: Machine): Promise<Heard> {
  const listed = JSON.parse(
    await exchange.run('nft', '-j', 'list', 'counters', 'table', 'bridge', 'ear'),
  )
  const counters: readonly { counter?: { name: string; packets: number } }[] = listed.nftables
  const packets = (name: string) =>
    counters.find(({ counter }) => counter?.name === name)?.counter?.packets ?? -1
  return {
    said: packets('said'),
    asked: packets('asked'),
    vxlan: packets('vxlan'),
    wireguard: packets('wireguard'),
  }
}

test.run()
