import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestText } from '../../src/manifest/config.ts'
import type { LoadRequest } from '../../src/manifest/load.ts'
import { parseCidr } from '../../src/network/ipv4.ts'
import { load, problemsOf } from './support.ts'

const PEERS = 'peers: { one: 192.0.2.1, two: 192.0.2.2, three: { address: 192.0.2.3 } }'
const file = (network: string, more = '') =>
  `containers: { web: { image: a, networks: [mesh] }${more} }\nnetworks: { mesh: ${network} }`
const on = (...addresses: string[]): Partial<LoadRequest> => ({ addresses: () => addresses })
const mesh = `{ driver: vxlan, subnet: 10.60.0.0/16, ${PEERS} }`

test('every machine finds itself among the peers, and its part of the subnet', async () => {
  const { desired, normalized } = await load(file(mesh), on('127.0.0.1', '192.0.2.2', '10.0.0.1'))
  const [network] = desired.networks
  assert.is(network?.driver, 'vxlan')
  assert.is(network?.gateway, '10.60.64.1')
  assert.is(network?.ipRange, '10.60.64.0/18')
  const { vni = 0, ...overlay } = network?.overlay ?? {}
  assert.ok(vni > 0 && vni < 2 ** 24)
  assert.equal(overlay, {
    port: 4789,
    encrypted: false,
    host: 'two',
    peers: [
      { name: 'one', address: '192.0.2.1', range: '10.60.0.0/18', gateway: '10.60.0.1' },
      { name: 'two', address: '192.0.2.2', range: '10.60.64.0/18', gateway: '10.60.64.1' },
      { name: 'three', address: '192.0.2.3', range: '10.60.128.0/18', gateway: '10.60.128.1' },
    ],
  })
  const again = await load(manifestText(normalized()), on('192.0.2.2'))
  assert.equal(again.desired, desired)
  const other = await load(file(mesh), on('192.0.2.3'))
  assert.is(other.desired.networks[0]?.overlay?.vni, vni)
  assert.is(other.desired.networks[0]?.gateway, '10.60.128.1')
})

test('parts of a subnet are as large as each other, and nobody has two', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 256 }), async (count) => {
      const list = Array.from({ length: count }, (_, at) => `p${at}: 10.9.${at}.1`)
      const text = `{ driver: vxlan, subnet: 10.128.0.0/12, peers: { ${list.join(', ')} } }`
      const { desired } = await load(file(text), on('10.9.0.1'))
      const ranges = desired.networks[0]?.overlay?.peers.map(({ range }) => parseCidr(range)) ?? []
      assert.is(ranges.length, count)
      const { first: start, last: end } = parseCidr('10.128.0.0/12')
      const size = (end - start + 1) / Math.max(4, 2 ** Math.ceil(Math.log2(count)))
      for (const [at, { first, last }] of ranges.entries()) {
        assert.is(first, start + at * size)
        assert.is(last, first + size - 1)
      }
    }),
    { numRuns: 40 },
  )
})

test('a machine runs what has its name under hosts, and what has none', async () => {
  const services = ', db: { image: a, hosts: [one], networks: [mesh] }, all: { image: a }'
  const names = async (address: string) =>
    (await load(file(mesh, services), on(address))).desired.services.map(({ name }) => name)
  assert.equal(await names('192.0.2.1'), ['all', 'db', 'web'])
  assert.equal(await names('192.0.2.2'), ['all', 'web'])
})

test('what a network that spans machines may not say', async () => {
  const key = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw='
  const base = `driver: vxlan, subnet: 10.60.0.0/16`
  for (const [network, said] of [
    [`{ driver: vxlan, ${PEERS} }`, 'needs a `subnet`'],
    [`{ ${base} }`, 'needs its `peers`'],
    [`{ ${PEERS} }`, 'a bridge has no `peers`'],
    ['{ driver_opts: { vni: 7 } }', 'a bridge has no vni'],
    [`{ ${base}, ${PEERS}, gateway: 10.60.0.9 }`, '`gateway` does not go with'],
    [`{ ${base}, ${PEERS}, enable_ipv6: true }`, 'IPv4 only'],
    [`{ ${base}, ${PEERS}, encrypted: true }`, 'needs the `public_key` of `one`'],
    [`{ ${base}, ${PEERS}, driver_opts: { vni: 16777216 } }`, 'vni must be 1-16777215'],
    [`{ driver: vxlan, subnet: 10.60.0.0/28, ${PEERS} }`, 'is too small for 3 peers'],
    [`{ ${base}, peers: { one: 192.0.2.9, two: 192.0.2.2 } }`, 'none of the peers'],
    [`{ ${base}, peers: { one: 192.0.2.1, two: 192.0.2.1 } }`, 'has this address already'],
    [`{ ${base}, peers: { one: 127.0.0.1, two: 192.0.2.2 } }`, 'no address at which another'],
    [`{ ${base}, peers: { one: { address: 192.0.2.1, public_key: "${key}" } } }`, 'goes with'],
    [
      `{ ${base}, encrypted: true, peers: { one: { address: 192.0.2.1, public_key: x } } }`,
      'base64',
    ],
  ] as const) {
    const problems = (await problemsOf(file(network), on('192.0.2.1'))).join('\n')
    assert.match(problems, said)
  }
  const both = (await problemsOf(file(mesh), on('192.0.2.1', '192.0.2.3'))).join('\n')
  assert.match(both, 'several of the peers: one 192.0.2.1, three 192.0.2.3')
})

test('two networks that span machines do not meet on one port', async () => {
  const network = (name: string, more: string, octet: number) =>
    `${name}: { driver: vxlan, subnet: 10.${octet}.0.0/16, ${more} }`
  const key = (letter: string) => `${letter.repeat(42)}A=`
  const secret = `encrypted: true, peers: { one: { address: 192.0.2.1, public_key: "${key('A')}" } }`
  const two = (first: string, second: string) =>
    `containers: { web: { image: a, networks: [a, b] } }
networks: { ${network('a', first, 60)}, ${network('b', second, 61)} }`
  const told = async (text: string) => (await problemsOf(text, on('192.0.2.1'))).join('\n')
  const same = `${PEERS}, driver_opts: { vni: 7 }`
  assert.match(await told(two(same, same)), 'network `a` has vni 7 on port 4789, too')
  assert.match(await told(two(secret, secret)), 'network `a` has wireguard_port 51820, too')
  const apart = `${secret}, driver_opts: { wireguard_port: 51821 }`
  const { desired, normalized } = await load(two(secret, apart), on('192.0.2.1'))
  assert.is(desired.networks[1]?.overlay?.wireguardPort, 51_821)
  assert.equal((await load(manifestText(normalized()), on('192.0.2.1'))).desired, desired)
})

test('what services may not say of machines', async () => {
  for (const [services, said] of [
    [', db: { image: a, hosts: [ones] }', 'no network has a peer `ones`; did you mean `one`?'],
    [
      ', db: { image: a, hosts: [two] }, app: { image: a, depends_on: [db] }',
      'service `db` runs on two only',
    ],
    [
      ', db: { image: a, networks: { mesh: { ipv4_address: 10.60.64.9 } } }',
      '10.60.64.9 is not within 10.60.0.0/18, which is what `one` has',
    ],
  ] as const)
    assert.match((await problemsOf(file(mesh, services), on('192.0.2.1'))).join('\n'), said)
  const none = await problemsOf('containers: { web: { image: a, hosts: [one] } }')
  assert.match(none.join('\n'), 'it goes with a network of `driver: vxlan`')
})

test.run()
