import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { redirectScript } from '../../src/network/dns/inside.ts'
import { indexZone, type Zone, type ZoneContainer } from '../../src/network/dns/zone.ts'
import { type Child, childBatch, parentBatch } from '../../src/network/lan.ts'
import { sourceBatch } from '../../src/network/source-routes.ts'

const child: Child = {
  parent: 'eth1.20',
  kind: 'macvlan',
  mode: 'bridge',
  peer: 'eth0',
  pid: 77,
  mac: '02:50:c0:00:02:4d',
}

test('interfaces as text, each born where it belongs', () => {
  const { mac: _, ...rest } = child
  assert.equal(
    childBatch([
      child,
      { ...rest, mac: null, kind: 'ipvlan', mode: 'l2', flag: 'private', mtu: 1400 },
    ]),
    [
      'link add link eth1.20 name eth0 address 02:50:c0:00:02:4d netns 77 type macvlan mode bridge',
      'link add link eth1.20 name eth0 mtu 1400 netns 77 type ipvlan mode l2 private',
    ],
  )
})

test('no word of a line can be two', () => {
  for (const bad of [
    { peer: 'eth0 up' },
    { parent: 'eth1\nlink del eth0' },
    { mac: '02:50:c0:00:02:4d up' },
    { mode: 'bridge up' as 'bridge' },
    { flag: 'x' as 'vepa' },
    { pid: -1 },
  ])
    assert.throws(() => childBatch([{ ...child, ...bad }]), /refused/)
  assert.throws(() => parentBatch('eth1 up', false), /refused/)
  assert.throws(() => redirectScript(0), /not within/)
  const way = { device: 'eth0', address: '10.1.0.2', subnet: '10.1.0.0/24', gateway: '10.1.0.1' }
  assert.throws(() => sourceBatch([{ ...way, table: 0 }], new Set()), /refused/)
  assert.throws(() => sourceBatch([{ ...way, device: 'a b', table: 1000 }], new Set()), /refused/)
})

test('a parent is a VLAN where its name says so, else a link that leads nowhere', () => {
  assert.equal(parentBatch('eth1.20', false), [
    'link add link eth1 name eth1.20 type vlan id 20',
    'link set dev eth1.20 up',
  ])
  assert.equal(parentBatch('pakabc', false), [
    'link add name pakabc type dummy',
    'link set dev pakabc up',
  ])
  assert.equal(parentBatch('eth1.20', true), ['link set dev eth1.20 up'])
})

test('what leaves with the address of a bridge leaves by it', () => {
  const way = { device: 'eth0', address: '10.1.0.2', subnet: '10.1.0.0/24', gateway: '10.1.0.1' }
  const six = { device: 'eth0', address: 'fd00::2', subnet: 'fd00::/64', gateway: 'fd00::1' }
  const lines = sourceBatch(
    [
      { ...way, table: 1000 },
      { ...six, table: 1000 },
    ],
    new Set(['10.1.0.2 1000']),
  )
  assert.equal(lines, [
    'route replace 10.1.0.0/24 dev eth0 src 10.1.0.2 table 1000',
    'route replace default via 10.1.0.1 dev eth0 table 1000',
    'route replace fd00::/64 dev eth0 src fd00::2 table 1000',
    'route replace ::/0 via fd00::1 dev eth0 table 1000',
    'rule add from fd00::2 lookup 1000',
  ])
})

const member = (name: string, address: string): ZoneContainer => ({
  ...{ name, address, names: [name], healthy: true, servers: [] },
})

test('on a LAN nobody is known by an address, and this host is not there', () => {
  const zone: Zone = {
    networks: [
      {
        ...{ id: 'shop/lan', internal: false, gateways: [], services: [], names: [] },
        containers: [member('web', '192.0.2.64'), member('both', '192.0.2.65')],
      },
      {
        ...{ id: 'shop/back', internal: false, gateways: ['10.1.0.1'], services: [], names: [] },
        containers: [member('both', '10.1.0.2')],
      },
    ],
  }
  const scopeOf = indexZone(zone)
  assert.is(scopeOf('192.0.2.64'), null)
  const [web, both] = [scopeOf('shop/web'), scopeOf('10.1.0.2')]
  assert.equal(web?.lookup('both'), ['192.0.2.65'])
  assert.is(web?.lookup('host.pak.internal'), null)
  assert.equal(both?.lookup('web'), ['192.0.2.64'])
  assert.equal(both?.lookup('host.pak.internal'), ['10.1.0.1'])
})

test.run()
