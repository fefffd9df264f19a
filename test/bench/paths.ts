/**
 * What pak's network costs beside the same path made by hand: between two containers, through a published
 * port, and by a service's address; bytes (iperf3) and connections a second, in turns. It asserts nothing.
 *
 *   node --import tsx test/bench/paths.ts [rounds] [seconds] [plain]
 *
 * `plain`: no service of pak's has an address, so that frames stay on the bridge.
 */
import { once } from 'node:events'
import { bridgeName, createBridges } from '../../src/network/bridge.ts'
import { applyFirewall } from '../../src/network/firewall.ts'
import { attach, cable, type Machine, machine } from '../network/lab.ts'
import { eventually } from '../support/eventually.ts'
import { median } from './measure.ts'

const rounds = Number(process.argv[2] ?? 5)
const seconds = Number(process.argv[3] ?? 2)
const plain = process.argv[4] === 'plain'
const OUTSIDE = '203.0.113.1'
const [CLIENT, SERVER, GATEWAY, VIP] = ['10.214.1.2', '10.214.1.3', '10.214.1.1', '10.214.1.100']
const SUBNET = '10.214.1.0/24'
/** iperf3's, then those of a server that says one word and closes. */
const BULK = 5201
/** One for each path, so that what one of them leaves behind at the server is not in another's way. */
const SHORT = { direct: 5202, published: 5203, service: 5204 }
const PORTS = [BULK, ...Object.values(SHORT)]

/** The shortest rules that do the same. An answer on one bridge finds its way back by the gateway. */
const BY_HAND = `
table ip hand {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr { ${OUTSIDE}, ${VIP} } tcp dport { ${PORTS.join(', ')} } dnat to ${SERVER}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr ${SUBNET} ip daddr ${SUBNET} ct status dnat masquerade
    ip saddr ${SUBNET} oifname != "hand0" masquerade
  }
  chain forward {
    type filter hook forward priority filter
    ct state established,related accept
  }
}`

interface Side extends AsyncDisposable {
  readonly client: Machine
  readonly outside: Machine
}

async function side(prepare: (host: Machine) => Promise<string>): Promise<Side> {
  const all = await Promise.all([machine(), machine(), machine(), machine()])
  const [host, outside, client, server] = all
  await cable(
    { machine: host, name: 'up0', address: `${OUTSIDE}/24` },
    { machine: outside, name: 'eth0', address: '203.0.113.2/24' },
  )
  const bridge = await prepare(host)
  await attach(host, client, [{ bridge, address: CLIENT, gateway: GATEWAY }])
  await attach(host, server, [{ bridge, address: SERVER, gateway: GATEWAY }])
  server.start('iperf3', '-s', '-p', `${BULK}`)
  for (const port of Object.values(SHORT)) await server.serve('one', port)
  await eventually('iperf3', async () => (await server.run('ss', '-ltn')).includes(`:${BULK}`))
  return {
    client,
    outside,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

async function pakSide(host: Machine): Promise<string> {
  const bridge = bridgeName('bench/paths')
  await createBridges(host.kernel, [
    { name: bridge, gateway: GATEWAY, prefix: 24, services: [VIP] },
  ])
  const network = { name: 'n', bridge, subnet: SUBNET, gateway: GATEWAY, internal: false }
  await applyFirewall(host.kernel, {
    table: 'pak_b',
    project: 'shop',
    dnsPort: 5353,
    networks: [network],
    published: PORTS.map((port) => ({
      container: 'web',
      address: SERVER,
      hostIp: '0.0.0.0',
      published: port,
      target: port,
      protocol: 'tcp',
      affinity: 'none',
    })),
    services: plain ? [] : [{ bridge, address: VIP, targets: [SERVER], affinity: 'none' }],
    lifts: !plain,
    others: [],
  })
  return bridge
}

async function handSide(host: Machine): Promise<string> {
  await host.run('ip', 'link', 'add', 'hand0', 'type', 'bridge')
  for (const address of [`${GATEWAY}/24`, `${VIP}/32`])
    await host.run('ip', 'address', 'add', address, 'dev', 'hand0')
  await host.run('ip', 'link', 'set', 'hand0', 'up')
  await host.kernel.writeText('/proc/sys/net/ipv4/ip_forward', '1')
  await host.kernel.run('nft', ['-f', '-'], { input: BY_HAND })
  return 'hand0'
}

/** Gbit/s. */
async function bulk(from: Machine, address: string): Promise<number> {
  const args = ['-c', address, '-p', `${BULK}`, '-t', `${seconds}`, '-J']
  const { end } = JSON.parse(await from.run('iperf3', ...args))
  return end.sum_received.bits_per_second / 1e9
}

const CONNECT = `
const [address, port, ms] = process.argv.slice(1)
let count = 0
const one = () => require('net').connect(Number(port), address).on('data', () => { count++ })
  .on('error', () => {}).on('close', one)
for (let i = 0; i < 16; i++) one()
setTimeout(() => { console.log(count); process.exit() }, Number(ms))`

/** A second. */
async function connections(from: Machine, address: string, port: number): Promise<number> {
  const child = from.start(
    process.execPath,
    ...['-e', CONNECT, address, `${port}`, `${seconds * 1000}`],
  )
  if (child.stdout === null) return 0
  const [text] = await once(child.stdout, 'data')
  return Number(String(text)) / seconds
}

await using pak = await side(pakSide)
await using hand = await side(handSide)
for (const [path, address, from, port] of [
  ['container to container', SERVER, 'client', SHORT.direct],
  ['by the published port', OUTSIDE, 'outside', SHORT.published],
  ['by the service', VIP, 'client', SHORT.service],
] as const) {
  if (plain && address === VIP) continue
  for (const [unit, measure] of [
    ['Gbit/s', bulk],
    ['connections/s', connections],
  ] as const) {
    const [ours, theirs] = [[] as number[], [] as number[]]
    for (let round = 0; round < rounds; round++) {
      ours.push(await measure(pak[from], address, port))
      theirs.push(await measure(hand[from], address, port))
    }
    const [a, b] = [median(ours), median(theirs)]
    const percent = `${Math.round((100 * a) / b)} %`.padStart(6)
    const figures = `${a.toFixed(1).padStart(8)} of ${b.toFixed(1).padStart(8)} ${unit}`
    console.log(`${percent}  ${path.padEnd(24)} ${figures}`)
  }
}
