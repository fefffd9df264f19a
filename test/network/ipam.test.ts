import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import type { Kernel } from '../../src/kernel/kernel.ts'
import {
  checkSubnet,
  chooseSubnet,
  gatewayOf,
  hostRoutes,
  lease,
  overlaps,
} from '../../src/network/ipam.ts'
import { contains, formatCidr, parseAddress, parseCidr } from '../../src/network/ipv4.ts'

const code = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof PakError) return error.code
    throw error
  }
  return 'nothing thrown'
}

const cidr = fc
  .tuple(fc.nat(0xffffffff), fc.integer({ min: 8, max: 32 }))
  .map(([first, prefix]) => {
    const size = 2 ** (32 - prefix)
    const start = Math.floor(first / size) * size
    return formatCidr({ first: start, last: start + size - 1, prefix })
  })

test('only plain dotted decimal is an address', () => {
  for (const text of [
    '1.2.3',
    '010.1.1.1',
    '1.2.3.4.5',
    '0x7f.1.1.1',
    '1.2.3.256',
    '',
    '1.2.3.4 ',
    '::1',
  ])
    assert.is(
      code(() => parseAddress(text)),
      'network',
      text,
    )
  for (const text of ['1.2.3.4/33', '1.2.3.4/', '1.2.3.4/1/2', '1.2.3.4/-1', '1.2.3.4/1e1'])
    assert.is(
      code(() => parseCidr(text)),
      'network',
      text,
    )
  assert.is(parseAddress('255.255.255.255'), 0xffffffff)
})

test('overlap is symmetric, and a block overlaps what it contains', () => {
  assert.ok(overlaps('10.0.0.0/8', '10.200.3.0/24'))
  assert.not.ok(overlaps('10.0.0.0/24', '10.0.1.0/24'))
  fc.assert(fc.property(cidr, cidr, (a, b) => overlaps(a, b) === overlaps(b, a)))
})

test('a chosen subnet shares no address with anything taken', () => {
  fc.assert(
    fc.property(fc.array(cidr, { maxLength: 40 }), (taken) => {
      const subnet = chooseSubnet({ taken })
      assert.not.ok(taken.some((block) => overlaps(block, subnet)))
      assert.ok(contains(subnet, gatewayOf(subnet)))
    }),
  )
})

test('many networks in a row never collide, and an exhausted host is told', () => {
  const taken: string[] = []
  for (let count = 0; count < 200; count++) taken.push(chooseSubnet({ taken }))
  assert.is(new Set(taken).size, 200)
  assert.is(taken[0], '172.17.0.0/16')
  const all = ['172.16.0.0/12', '192.168.0.0/16', '10.0.0.0/8']
  assert.is(
    code(() => chooseSubnet({ taken: all })),
    'subnet_taken',
  )
})

test('a declared subnet that overlaps a route is refused by name', () => {
  checkSubnet('10.77.1.0/24', ['10.77.2.0/24'])
  assert.throws(() => checkSubnet('10.77.1.0/24', ['10.0.0.0/8']), /overlaps `10\.0\.0\.0\/8`/)
})

test('leases never collide and stay as they are', () => {
  const name = fc.constantFrom(...Array.from({ length: 12 }, (_, index) => `c${index}`))
  const leave = fc.boolean()
  fc.assert(
    fc.property(fc.array(fc.tuple(name, leave), { maxLength: 60 }), (moves) => {
      const network = { subnet: '10.1.0.0/28', gateway: '10.1.0.1' }
      const leases: Record<string, string> = {}
      for (const [container, leaves] of moves) {
        if (leaves) {
          delete leases[container]
          continue
        }
        const before = leases[container]
        const got = lease({ ...network, leases, container, wanted: null })
        assert.ok(before === undefined || before === got)
        leases[container] = got
        const held = Object.values(leases)
        assert.is(new Set(held).size, held.length)
        assert.ok(
          !held.includes('10.1.0.1') && !held.includes('10.1.0.0') && !held.includes('10.1.0.15'),
        )
      }
    }),
  )
})

test('a wanted address is given, or refused with its holder', () => {
  const base = { subnet: '10.1.0.0/24', gateway: '10.1.0.1', container: 'a' }
  assert.is(lease({ ...base, leases: { a: '10.1.0.2' }, wanted: '10.1.0.9' }), '10.1.0.9')
  const taken = () => lease({ ...base, leases: { b: '10.1.0.9' }, wanted: '10.1.0.9' })
  assert.throws(taken, /it is b's/)
  assert.throws(() => lease({ ...base, leases: {}, wanted: '10.1.0.1' }), /the gateway's/)
  assert.is(
    code(() => lease({ ...base, leases: {}, wanted: '10.1.0.255' })),
    'conflict',
  )
  assert.is(
    code(() => lease({ ...base, leases: {}, wanted: '10.2.0.9' })),
    'conflict',
  )
  assert.is(lease({ ...base, leases: {}, wanted: null, reserved: ['10.1.0.2'] }), '10.1.0.3')
})

test('an address outside the subnet is not kept, and a full subnet is told', () => {
  const network = { subnet: '10.1.0.0/29', gateway: '10.1.0.1', wanted: null }
  assert.is(lease({ ...network, leases: { a: '10.9.0.2' }, container: 'a' }), '10.1.0.2')
  const leases = Object.fromEntries([2, 3, 4, 5, 6].map((last) => [`c${last}`, `10.1.0.${last}`]))
  assert.is(
    code(() => lease({ ...network, leases, container: 'new' })),
    'subnet_taken',
  )
  assert.is(
    code(() => gatewayOf('10.1.0.0/30')),
    'network',
  )
})

test('routes, addresses and name servers count as taken; defaults in any disguise do not', async () => {
  const routes = [
    { dst: 'default', dev: 'eth0' },
    { dst: '0.0.0.0/1', dev: 'tun0' },
    { dst: '10.8.0.0/16', dev: 'tun0' },
    { type: 'local', dst: '192.0.2.2', dev: 'eth0' },
    { dst: '172.17.0.0/16', dev: 'pakaaaa' },
    { dst: 'fe80::/64', dev: 'eth0' },
    null,
  ]
  const kernel = {
    run: async () => ({ exitCode: 0, stdout: JSON.stringify(routes), stderr: '', piped: '' }),
    readText: async () => 'nameserver 10.255.255.53\nnameserver fe80::1\n',
  } as unknown as Kernel
  assert.equal(await hostRoutes(kernel, { exceptDevices: ['pakaaaa'] }), [
    '10.255.255.53',
    '10.8.0.0/16',
    '192.0.2.2',
  ])
})

test('the highest free address, past what others declare', () => {
  const request = {
    subnet: '10.0.0.0/24',
    gateway: '10.0.0.1',
    leases: { a: '10.0.0.254' },
    container: 'service:web',
    wanted: null,
    reserved: ['10.0.0.253'],
    fromTop: true,
  }
  assert.is(lease(request), '10.0.0.252')
  const leases = { ...request.leases, 'service:web': '10.0.0.99' }
  assert.is(lease({ ...request, leases }), '10.0.0.99')
  assert.is(lease({ ...request, leases, reserved: ['10.0.0.99'] }), '10.0.0.253')
})

test.run()
