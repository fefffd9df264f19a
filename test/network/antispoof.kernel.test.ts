// not in the emulated machine: nothing of it depends on the version of cgroups

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeName, createBridges, macAddress } from '../../src/network/bridge.ts'
import { applyFirewall, removeFirewall } from '../../src/network/firewall.ts'
import { eventually } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { advertisement, arp, frame, SEND_FRAMES, udp } from './frames.ts'
import { attach, type Machine, machine } from './lab.ts'

const BRIDGE = bridgeName('pakt/antispoof')
const GATEWAY = '10.214.0.1'
const PORT = 82
const EVERYBODY = 'ff:ff:ff:ff:ff:ff'

interface Box {
  readonly ipv4: string
  readonly ipv6: string
  readonly mac: string
  readonly local: string
}

const box = (number: number): Box => ({
  ipv4: `10.214.0.${number}`,
  ipv6: `fd14::${number}`,
  mac: macAddress(`10.214.0.${number}`),
  local: `fe80::50:aff:fed6:${number.toString(16)}`,
})
const [FRIEND, EAR, THIEF] = [box(11), box(12), box(13)]

testUnless(
  test,
  hostLacks('ip', 'nft', 'nsenter', 'unshare', 'perl', 'bridge'),
  'where policies are, nobody speaks as another, or past them',
  async () => {
    await using lab = await spoofLab()
    const { friend, ear, thief } = lab
    const at = { port: PORT }
    const to = { from: FRIEND.mac, to: EAR.mac }
    await lab.send(
      friend,
      frame(to, 0x0800, udp({ from: FRIEND.ipv4, to: EAR.ipv4, ...at, text: 'own4' })),
    )
    await lab.send(
      friend,
      frame(to, 0x86dd, udp({ from: FRIEND.ipv6, to: EAR.ipv6, ...at, text: 'own6' })),
    )
    await eventually(
      'who may be heard is heard',
      () => /own4/.test(lab.heard()) && /own6/.test(lab.heard()),
    )
    await friend.run('ping', '-c1', '-W2', EAR.ipv4).catch(() => '')

    const mine = { from: THIEF.mac, to: EAR.mac }
    const forged = (link: { from: string; to: string }, from: Box, word: string) => [
      frame(link, 0x0800, udp({ from: from.ipv4, to: EAR.ipv4, ...at, text: `${word}4` })),
      frame(link, 0x86dd, udp({ from: from.ipv6, to: EAR.ipv6, ...at, text: `${word}6` })),
    ]
    const open = (kind: number, link: string, toAddress: string, from: string, text: string) =>
      frame({ from: THIEF.mac, to: link }, kind, udp({ from, to: toAddress, ...at, text }))
    await lab.send(
      thief,
      ...forged(mine, THIEF, 'denied'),
      ...forged(mine, FRIEND, 'address'),
      ...forged(to, FRIEND, 'both'),
      ...forged({ ...to, from: THIEF.mac, to: EVERYBODY }, THIEF, 'everybody'),
      open(0x0800, EVERYBODY, '255.255.255.255', THIEF.ipv4, 'broadcast'),
      open(0x0800, EVERYBODY, '10.214.0.255', THIEF.ipv4, 'directed'),
      open(0x0800, EAR.mac, '255.255.255.255', THIEF.ipv4, 'unicast-broadcast'),
      open(0x0800, '01:00:5e:00:00:01', '224.0.0.1', THIEF.ipv4, 'multicast4'),
      open(0x0800, EAR.mac, '224.0.0.1', THIEF.ipv4, 'unicast-multicast4'),
      open(0x86dd, '33:33:00:00:00:01', 'ff02::1', THIEF.ipv6, 'multicast6'),
      open(0x86dd, '33:33:00:00:00:01', 'ff02::1', THIEF.local, 'multicast-local6'),
      open(0x86dd, EAR.mac, EAR.local, THIEF.local, 'local6'),
      open(0x86dd, EAR.mac, EAR.ipv6, THIEF.local, 'from-local6'),
      // By the bridge's own group addresses, which go to the host past its chains.
      ...[0x00, 0x02, 0x03, 0x0d, 0x0e].flatMap((last) => {
        const group = `01:80:c2:00:00:0${last.toString(16)}`
        const link = { from: FRIEND.mac, to: group }
        return [
          frame(
            link,
            0x0800,
            udp({ from: FRIEND.ipv4, to: GATEWAY, port: PORT, text: `group${last}` }),
          ),
          frame(
            { ...link, from: THIEF.mac },
            0x86dd,
            advertisement({ from: THIEF.local, to: 'ff02::1' }, { target: null, mac: THIEF.mac }),
          ),
        ]
      }),
      // What it says of others.
      frame(
        { from: THIEF.mac, to: EVERYBODY },
        0x0806,
        arp({ mac: THIEF.mac, address: FRIEND.ipv4 }),
      ),
      frame({ from: THIEF.mac, to: EAR.mac }, 0x0806, arp({ mac: THIEF.mac, address: GATEWAY })),
      frame(
        { from: FRIEND.mac, to: EVERYBODY },
        0x0806,
        arp({ mac: FRIEND.mac, address: FRIEND.ipv4 }),
      ),
      frame(
        mine,
        0x86dd,
        advertisement({ from: THIEF.ipv6, to: EAR.ipv6 }, { target: FRIEND.ipv6, mac: THIEF.mac }),
      ),
      frame(
        mine,
        0x86dd,
        advertisement({ from: FRIEND.ipv6, to: EAR.ipv6 }, { target: FRIEND.ipv6, mac: THIEF.mac }),
      ),
      frame(
        { from: THIEF.mac, to: '33:33:00:00:00:01' },
        0x86dd,
        advertisement({ from: THIEF.local, to: 'ff02::1' }, { target: null, mac: THIEF.mac }),
      ),
    )
    // What was sent after it is heard, so it was not on its way any more.
    await lab.send(
      friend,
      frame(to, 0x0800, udp({ from: FRIEND.ipv4, to: EAR.ipv4, ...at, text: 'last' })),
    )
    await eventually('the last word', () => /last/.test(lab.heard()))
    assert.equal(lab.heard().trim().split('\n').sort(), ['last', 'own4', 'own6'])
    assert.is(lab.told(), '')
    assert.not.match(await lab.host.run('ip', '-6', 'route'), 'proto ra')
    const neighbours = await ear.run('ip', 'neigh')
    assert.not.match(neighbours, THIEF.mac)
    const ports = await lab.host.run('bridge', 'fdb', 'show', 'br', BRIDGE)
    const portOf = (mac: string) => new RegExp(`^${mac} dev (\\S+)`, 'm').exec(ports)?.[1]
    assert.is.not(portOf(FRIEND.mac), portOf(THIEF.mac))
    assert.not.match(await ear.run('ip', '-6', 'route'), 'proto ra')
  },
)

interface Lab extends AsyncDisposable {
  readonly host: Machine
  readonly friend: Machine
  readonly ear: Machine
  readonly thief: Machine
  /** What the ear has been told. */
  heard(): string
  /** What the host has. */
  told(): string
  send(from: Machine, ...frames: readonly Buffer[]): Promise<void>
}

/** Three containers of one network: only the friend may send to the ear. */
async function spoofLab(): Promise<Lab> {
  const machines = await Promise.all(Array.from({ length: 4 }, () => machine()))
  const [host, friend, ear, thief] = machines as [Machine, Machine, Machine, Machine]
  const ipv6 = { gateway: 'fd14::1', prefix: 64 }
  await createBridges(host.kernel, [{ name: BRIDGE, gateway: GATEWAY, prefix: 24, ipv6 }])
  for (const [inside, own] of [
    [friend, FRIEND],
    [ear, EAR],
    [thief, THIEF],
  ] as const) {
    const end = { bridge: BRIDGE, address: own.ipv4, gateway: GATEWAY }
    await attach(host, inside, [{ ...end, ipv6: { address: own.ipv6, gateway: 'fd14::1' } }])
  }
  const at = { table: 'pak_t', project: 'shop', lifts: true, others: [] }
  const one = (own: Box) => ({ address: own.ipv4, mac: own.mac, address6: own.ipv6 })
  const side = { otherwise: 'deny' as const, deny: [] }
  await applyFirewall(host.kernel, {
    ...at,
    dnsPort: 5353,
    networks: [
      {
        name: 'net',
        bridge: BRIDGE,
        subnet: '10.214.0.0/24',
        gateway: GATEWAY,
        internal: false,
        subnet6: 'fd14::/64',
      },
    ],
    published: [],
    services: [],
    policies: {
      rules: [
        {
          service: 'ear',
          policies: {
            ingress: {
              ...side,
              allow: [{ peers: [{ kind: 'service', service: 'friend' }], ports: [] }],
            },
          },
        },
      ],
      members: new Map([
        ['friend', [FRIEND.ipv4, FRIEND.ipv6]],
        ['ear', [EAR.ipv4, EAR.ipv6]],
      ]),
      networks: new Map(),
    },
    guarded: [BRIDGE],
    identities: [FRIEND, EAR, THIEF].map(one),
  })
  const listener = (at: Machine) => {
    let said = ''
    at.start(process.execPath, '-e', LISTEN, String(PORT)).stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    return () => said
  }
  const [atEar, atHost] = [listener(ear), listener(host)]
  await eventually('both listen', () =>
    [atEar, atHost].every((said) => said().startsWith('ready\n')),
  )
  return {
    ...{ host, friend, ear, thief },
    heard: () => atEar().slice('ready\n'.length),
    told: () => atHost().slice('ready\n'.length),
    async send(from, ...frames) {
      const index = (await from.run('ip', '-o', 'link', 'show', 'eth0')).split(':')[0] ?? ''
      await from.run(
        'perl',
        '-e',
        SEND_FRAMES,
        index,
        ...frames.map((each) => each.toString('hex')),
      )
    },
    async [Symbol.asyncDispose]() {
      await removeFirewall(host.kernel, at)
      await Promise.all(machines.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

const LISTEN = `
const socket = require('dgram').createSocket({ type: 'udp6' })
socket.on('message', (text) => process.stdout.write(text)).bind(Number(process.argv[1]), '::', () => console.log('ready'))`

test.run()
