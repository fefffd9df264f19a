import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { ipBatch } from '../../src/kernel/ip.ts'
import type { Kernel } from '../../src/kernel/kernel.ts'
import { nftApply, nftList } from '../../src/kernel/nft.ts'
import {
  addressBatch,
  bridgeBatch,
  bridgeName,
  linkGroup,
  macAddress,
  vethBatch,
  vethName,
} from '../../src/network/bridge.ts'

const refusing = (stderr: string): Kernel =>
  ({ run: async () => ({ exitCode: 1, stdout: '', stderr, piped: '' }) }) as unknown as Kernel

test('names fit into an interface name and follow from their seed', () => {
  assert.is(bridgeName('shop/back').length, 13)
  assert.is(vethName('shop-web-1/eth0').length, 14)
  assert.is(bridgeName('a'), bridgeName('a'))
  assert.is.not(bridgeName('a'), bridgeName('b'))
})

test('bridges as text', () => {
  const bridges = [{ name: 'paka', gateway: '10.1.0.1', prefix: 24 }]
  assert.equal(bridgeBatch(bridges), [
    'link add name paka address 02:50:0a:01:00:01 type bridge',
    'addr replace 10.1.0.1/24 brd + dev paka',
    'link set dev paka up',
  ])
  assert.is(bridgeBatch(bridges, new Set(['paka'])).length, 2)
})

test('veths and addresses as text', () => {
  const [mac, group] = [macAddress('10.1.0.2'), linkGroup('10.1.0.2')]
  assert.equal(vethBatch([{ host: 'pv1', bridge: 'paka', peer: 'eth0', pid: 77, mac, group }]), [
    'link add name pv1 group 167837698 master paka up type veth peer name eth0 address 02:50:0a:01:00:02 netns 77',
    'link set dev pv1 type bridge_slave hairpin on group_fwd_mask 0xfffd',
  ])
  const interfaces = [
    { name: 'eth0', address: '10.1.0.2', prefix: 24, gateway: null },
    { name: 'eth1', address: '10.2.0.2', prefix: 16, gateway: '10.2.0.1' },
  ]
  assert.equal(addressBatch(interfaces), [
    'link set dev lo up',
    'addr replace 10.1.0.2/24 brd + dev eth0',
    'link set dev eth0 up',
    'addr replace 10.2.0.2/16 brd + dev eth1',
    'link set dev eth1 up',
    'route replace default via 10.2.0.1 dev eth1',
  ])
})

test('a word that would be more than a word is refused', () => {
  const evil = ['a b', 'a\nlink del eth0', '', 'a;b', '$(id)', '-x', '../x', 'x'.repeat(16), '9a']
  for (const name of evil) {
    assert.throws(() => bridgeBatch([{ name, gateway: '10.1.0.1', prefix: 24 }]), /refused/)
    assert.throws(() => addressBatch([{ name, address: '10.1.0.2', prefix: 24, gateway: null }]))
    const mac = macAddress('1.2.3.4')
    const link = { host: 'pv1', bridge: 'paka', peer: name, pid: 2, mac, group: 1 }
    assert.throws(() => vethBatch([link]), /refused/)
  }
  assert.throws(() => bridgeBatch([{ name: 'a', gateway: '10.1.0.1 x', prefix: 24 }]))
  assert.throws(() => bridgeBatch([{ name: 'a', gateway: '10.1.0.1', prefix: 33 }]))
})

test('a batch names the line that was refused', async () => {
  const kernel = refusing('RTNETLINK answers: File exists\nCommand failed -:2\n')
  try {
    await ipBatch(kernel, ['link set lo up', 'link add name x type bridge'])
    assert.unreachable()
  } catch (error) {
    assert.instance(error, PakError)
    assert.is((error as Error).message, 'ip `link add name x type bridge`: file exists')
  }
})

test('what is gone is no error where it may be gone, anything else is', async () => {
  const gone = 'Cannot find device "x"\nCommand failed -:1\n'
  await ipBatch(refusing(gone), ['link del dev x'], { goneIsFine: true })
  const busy = `${gone}RTNETLINK answers: Operation not permitted\nCommand failed -:2\n`
  const attempt = ipBatch(refusing(busy), ['link del dev x', 'link del dev y'], {
    goneIsFine: true,
  })
  await attempt.then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'ip `link del dev y`: operation not permitted'),
  )
})

test('a transaction names the line that was refused', async () => {
  const kernel = refusing('/dev/stdin:2:3-7: Error: syntax error, unexpected newline\n')
  await nftApply(kernel, 'add table inet a\nfoo bar\n').then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'nft `foo bar`: syntax error, unexpected newline'),
  )
  const missing = 'Error: No such file or directory\nlist table inet x\n'
  assert.is(await nftList(refusing(missing), ['list table inet x']), null)
})

test.run()
