import { SocketAddress } from 'node:net'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatBlock6, formatIpv6, parseBlock6, parseIpv6 } from '../../src/model/ipv6.ts'
import { chooseSubnet6, gateway6Of, type LeaseRequest6, lease6 } from '../../src/network/ipam6.ts'

test('addresses and blocks have one text', () => {
  for (const [text, one] of [
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0:0:1::', 'fd00:0:0:1::'],
    ['fd00:0:0:0:0:0:0:5', 'fd00::5'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
  ] as const)
    assert.is(formatIpv6(parseIpv6(text) ?? -1n), one)
  for (const text of ['', ':', ':::', '1::2::3', '1:2:3', '12345::', 'g::', '::1%eth0', '1.2.3.4'])
    assert.is(parseIpv6(text), null, text)
  const block = parseBlock6('fd00:1::7/64')
  assert.is(block === null ? '' : formatBlock6(block), 'fd00:1::/64')
  for (const text of ['fd00::/129', 'fd00::/', 'fd00::/64/1', 'fd00::/x'])
    assert.is(parseBlock6(text), null, text)
})

test('every address is read and written as Node does it', () => {
  const number = fc.array(fc.constantFrom<bigint>(0n, 0n, 1n, 0xffffn, 0x12n), {
    minLength: 8,
    maxLength: 8,
  })
  fc.assert(
    fc.property(number, (groups) => {
      const address = groups.reduce((sum, group) => (sum << 16n) + group, 0n)
      // What Node writes with an IPv4 part is no form of ours.
      fc.pre(address >> 48n !== 0n)
      const text = formatIpv6(address)
      assert.is(parseIpv6(text), address)
      assert.is(new SocketAddress({ address: text, family: 'ipv6' }).address, text)
    }),
  )
})

test('a subnet of its own: the same for the same network, and never a taken one', () => {
  const first = chooseSubnet6('shop/front', [])
  assert.match(first, /^fd[0-9a-f]{2}:.*::\/64$/)
  assert.is(chooseSubnet6('shop/front', ['10.0.0.0/8', 'fe80::/64']), first)
  assert.is.not(chooseSubnet6('shop/back', []), first)
  const second = chooseSubnet6('shop/front', [first])
  assert.is.not(second, first)
  assert.throws(() => chooseSubnet6('shop/front', ['fd00::/8']), /every one that was tried/)
})

const REQUEST: LeaseRequest6 = {
  subnet: 'fd00:1::/64',
  gateway: 'fd00:1::1',
  leases: { 'aux/x': 'fd00:1::3', other: 'fd00:1::4' },
  container: 'a',
  wanted: null,
  ipv4: { address: '10.1.0.2', subnet: '10.1.0.0/24' },
}

test('an address: the wanted one, its own, that of its IPv4 place, the next', () => {
  assert.is(gateway6Of('fd00:1::/64'), 'fd00:1::1')
  assert.is(lease6(REQUEST), 'fd00:1::2')
  assert.is(lease6({ ...REQUEST, wanted: 'FD00:1::50' }), 'fd00:1::50')
  assert.is(lease6({ ...REQUEST, leases: { a: 'fd00:1::99' } }), 'fd00:1::99')
  assert.is(
    lease6({ ...REQUEST, ipv4: { address: '10.1.0.3', subnet: '10.1.0.0/24' } }),
    'fd00:1::5',
  )
  assert.throws(() => lease6({ ...REQUEST, wanted: 'fd00:1::4' }), /it is other's/)
  assert.throws(() => lease6({ ...REQUEST, wanted: 'fd00:1::1' }), /the gateway's/)
  assert.throws(() => lease6({ ...REQUEST, wanted: 'fd00:2::4' }), /not in fd00:1::\/64/)
})

test('nobody ever shares an address', () => {
  const host = fc.integer({ min: 2, max: 254 })
  fc.assert(
    fc.property(fc.array(host, { maxLength: 60 }), (hosts) => {
      const leases: Record<string, string> = {}
      for (const [index, last] of hosts.entries()) {
        const ipv4 = { address: `10.1.0.${last}`, subnet: '10.1.0.0/24' }
        const container = `c${index}`
        leases[container] = lease6({ ...REQUEST, leases, container, ipv4 })
      }
      assert.is(new Set(Object.values(leases)).size, hosts.length)
    }),
  )
})

test.run()
