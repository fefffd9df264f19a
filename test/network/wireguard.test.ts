import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  parseDump,
  type Wireguard,
  wireguardAddress,
  wireguardBatch,
  wireguardDrift,
  wireguardWords,
} from '../../src/network/wireguard.ts'

const [KEY, OTHER, STRANGER] = ['A', 'B', 'C'].map((letter) => `${letter.repeat(42)}A=`)
const device: Wireguard = {
  name: 'pw1',
  port: 51_820,
  mtu: 1420,
  address: '10.60.63.254',
  publicKey: KEY ?? '',
  peers: [{ publicKey: OTHER ?? '', endpoint: '192.0.2.2', address: '10.60.127.254' }],
}

test("each machine has one address more, which is not its part's last", () => {
  assert.is(wireguardAddress('10.60.0.0/18'), '10.60.63.254')
  assert.is(wireguardAddress('10.60.192.0/18'), '10.60.255.254')
})

test('a device as text: made, mended, and without the way to who is no peer any more', () => {
  const made = wireguardBatch(device, { existing: false, routes: [] })
  assert.equal(made, [
    'link add name pw1 type wireguard',
    'addr replace 10.60.63.254/32 dev pw1',
    'link set dev pw1 mtu 1420 up',
    'route replace 10.60.127.254/32 dev pw1',
  ])
  const mended = wireguardBatch(device, { existing: true, routes: ['10.60.191.254'] })
  assert.is(mended[2], 'route del 10.60.191.254/32 dev pw1')
  assert.is(mended.length, 4)
})

test('the private key is a file; who is no peer any more goes', () => {
  const keyFile = '/var/lib/pak/wireguard.key'
  const own = ['set', 'pw1', 'listen-port', '51820', 'private-key', keyFile]
  const allowed = ['peer', OTHER, 'allowed-ips', '10.60.127.254/32']
  const peer = [...allowed, 'endpoint', '192.0.2.2:51820']
  assert.equal(wireguardWords(device, { keyFile, before: null }), [...own, ...peer])
  const peers = new Map([
    [OTHER ?? '', '10.60.127.254/32'],
    [STRANGER ?? '', '0.0.0.0/0'],
  ])
  const before = { publicKey: KEY ?? '', port: 51_820, peers }
  assert.equal(wireguardWords(device, { keyFile, before }), [
    ...own,
    ...['peer', STRANGER, 'remove'],
    ...peer,
  ])
  const bad = { ...device, peers: [{ ...device.peers[0], publicKey: 'x remove' }] } as Wireguard
  assert.throws(() => wireguardWords(bad, { keyFile, before: null }), 'refused')
})

test('what is not as it was set is told', () => {
  const dump = (port: number, ...peers: readonly string[]) =>
    parseDump([`secret\t${KEY}\t${port}\toff`, ...peers, ''].join('\n'))
  const line = (key: string | undefined, allowed: string) =>
    `${key}\t(none)\t198.51.100.9:51820\t${allowed}\t0\t0\t0\toff`
  const whole = line(OTHER, '10.60.127.254/32')
  assert.is(wireguardDrift(device, dump(51_820, whole)), null)
  assert.not.match(JSON.stringify(dump(51_820, whole)), 'secret')
  for (const [found, said] of [
    [dump(51_821, whole), 'had port 51821, should be 51820'],
    [dump(51_820), 'lost its peer 192.0.2.2'],
    [dump(51_820, line(OTHER, '0.0.0.0/0')), 'lost its peer 192.0.2.2'],
    [dump(51_820, whole, line(STRANGER, '(none)')), 'had a peer that is none'],
    [parseDump(''), 'had another key'],
  ] as const)
    assert.match(wireguardDrift(device, found) ?? '', said)
})

test.run()
