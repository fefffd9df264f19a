import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fdbBatch, fdbDrift, parseFdb, type Vxlan, vxlanBatch } from '../../src/network/vxlan.ts'

const device: Vxlan = {
  name: 'px1',
  bridge: 'paka',
  vni: 77,
  port: 4789,
  mtu: 1450,
  local: '192.0.2.1',
  lower: null,
  range: '10.60.0.0/18',
  isolated: false,
  peers: [
    { address: '192.0.2.2', gateway: '10.60.64.1' },
    { address: '192.0.2.3', gateway: '10.60.128.1' },
  ],
}

test('a device as text, made and mended', () => {
  const made = vxlanBatch(device, false)
  assert.equal(made, [
    'link add name px1 type vxlan id 77 local 192.0.2.1 dstport 4789 learning',
    'link set dev px1 mtu 1450 addrgenmode none',
    'link set dev px1 master paka up',
    'link set dev px1 type bridge_slave isolated off',
    'neigh replace 10.60.64.1 lladdr 02:50:0a:3c:40:01 dev paka nud permanent',
    'neigh replace 10.60.128.1 lladdr 02:50:0a:3c:80:01 dev paka nud permanent',
  ])
  assert.equal(vxlanBatch(device, true), made.slice(1))
  assert.throws(() => vxlanBatch({ ...device, name: 'px1 type bond' }, false), 'refused')
})

const everybody = (address: string) => ({ mac: '00:00:00:00:00:00', address })

test("its database: what is lost comes, what is a stranger's goes", () => {
  const whole = [
    ...['192.0.2.2', '192.0.2.3'].map(everybody),
    { mac: '02:50:0a:3c:40:01', address: '192.0.2.2' },
    { mac: '02:50:0a:3c:80:01', address: '192.0.2.3' },
    { mac: '02:50:0a:3c:40:01', address: null },
    { mac: '02:50:0a:3c:80:01', address: null },
  ]
  assert.equal(fdbBatch(device, whole), [])
  assert.is(fdbDrift(device, whole), null)
  assert.is(fdbBatch(device, []).length, 6)
  assert.is(
    fdbBatch(device, whole.slice(0, -1))[0],
    'fdb replace 02:50:0a:3c:80:01 dev px1 master static',
  )
  const held = [...whole.slice(1), everybody('192.0.2.9')]
  assert.equal(fdbBatch(device, held), [
    'fdb del 00:00:00:00:00:00 dev px1 dst 192.0.2.9 self',
    'fdb append 00:00:00:00:00:00 dev px1 dst 192.0.2.2 self',
  ])
  assert.is(fdbDrift(device, held), 'vxlan px1 lost its way to 192.0.2.2')
  assert.is(
    fdbDrift(device, [...whole, everybody('192.0.2.9')]),
    'vxlan px1 had a way to 192.0.2.9',
  )
})

test('of what bridge(8) shows only what was written counts', () => {
  const text = JSON.stringify([
    { mac: '02:50:0a:3c:40:05', dst: '192.0.2.2', flags: ['self'], state: '' },
    { mac: '02:50:0a:3c:40:01', dst: '192.0.2.2', flags: ['self'], state: 'static' },
    { mac: '02:50:0a:3c:40:01', flags: [], master: 'paka', state: 'static' },
    { mac: 'f2:85:12:38:43:c2', flags: [], master: 'paka', state: 'permanent' },
    null,
  ])
  assert.equal(parseFdb(text), [
    { mac: '02:50:0a:3c:40:01', address: '192.0.2.2' },
    { mac: '02:50:0a:3c:40:01', address: null },
  ])
  assert.equal(parseFdb(''), [])
})

test.run()
