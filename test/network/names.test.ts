import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostsFile, resolvConf, searchOf, serversOf } from '../../src/network/names.ts'
import { parseEndpoints, parseListeners } from '../../src/network/ports.ts'

const HOSTS = {
  hostname: 'web',
  domainname: null,
  addresses: ['10.1.0.2', '10.2.0.2'],
  extraHosts: { zeta: '192.0.2.1', host: 'host-gateway' },
  gateway: '10.1.0.1',
}
const LISTS = { servers: [], search: [], options: [] }
const BRIDGE = { kind: 'bridge', gateway: '10.1.0.1' } as const

test('hosts: own names on every address, extra hosts sorted, the gateway by name', () => {
  assert.is(
    hostsFile(HOSTS),
    [
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost\tip6-localhost\tip6-loopback',
      '10.1.0.2\tweb',
      '10.2.0.2\tweb',
      '10.1.0.1\thost',
      '192.0.2.1\tzeta',
      '',
    ].join('\n'),
  )
  const alone = hostsFile({ ...HOSTS, addresses: [], extraHosts: {}, domainname: 'example.org' })
  assert.match(alone, '127.0.1.1\tweb.example.org\tweb\n')
})

test('hosts: no word becomes a line', () => {
  for (const evil of ['a b', 'a\n127.0.0.1 x', '', '#', 'a\tb'])
    assert.throws(() => hostsFile({ ...HOSTS, extraHosts: { [evil]: '192.0.2.1' } }), /refused/)
  assert.throws(() => hostsFile({ ...HOSTS, hostname: 'a\nb' }), /refused/)
  assert.throws(() => hostsFile({ ...HOSTS, extraHosts: { a: '1.2.3.4 b' } }), /not an IP/)
  assert.throws(() => hostsFile({ ...HOSTS, gateway: null }), /no gateway/)
})

test('resolv.conf: on a bridge only pak is asked', () => {
  const text = 'nameserver 10.1.0.1\noptions ndots:0\n'
  assert.is(resolvConf({ ...LISTS, network: BRIDGE }), text)
  assert.is(resolvConf({ ...LISTS, network: BRIDGE, servers: ['192.0.2.53'] }), text)
  assert.is(
    resolvConf({
      ...LISTS,
      network: BRIDGE,
      search: ['a.test', 'b.test'],
      options: ['ndots:2', 'rotate'],
    }),
    'nameserver 10.1.0.1\nsearch a.test b.test\noptions ndots:2 rotate\n',
  )
})

test('resolv.conf: the host’s search domains, unless some are declared', () => {
  const host = 'search old.test\nsearch corp.test a;b lab.test\nnameserver 192.0.2.1\n'
  assert.equal(searchOf(host), ['corp.test', 'lab.test'])
  assert.equal(searchOf('domain one.test\n'), ['one.test'])
  assert.equal(searchOf(''), [])
  const network = { ...BRIDGE, search: searchOf(host) }
  assert.match(resolvConf({ ...LISTS, network }), '\nsearch corp.test lab.test\n')
  const own = resolvConf({ ...LISTS, network, search: ['.'] })
  assert.is(own, 'nameserver 10.1.0.1\nsearch .\noptions ndots:0\n')
})

test('resolv.conf: none is empty, host is the host’s unless something is declared', () => {
  const host = { kind: 'host', text: '# mine\nnameserver 127.0.0.53\n' } as const
  assert.is(resolvConf({ ...LISTS, network: { kind: 'none' } }), '')
  assert.is(resolvConf({ ...LISTS, network: host }), host.text)
  assert.is(
    resolvConf({ ...LISTS, network: host, search: ['x'] }),
    'nameserver 127.0.0.53\nsearch x\n',
  )
  assert.is(resolvConf({ ...LISTS, network: host, servers: ['::1'] }), 'nameserver ::1\n')
  assert.throws(() => resolvConf({ ...LISTS, network: host, servers: ['a b'] }), /not an IP/)
  assert.throws(() => resolvConf({ ...LISTS, network: host, search: ['a\nb'] }), /refused/)
  assert.throws(() => resolvConf({ ...LISTS, network: host, options: ['a b'] }), /refused/)
})

test('name servers of a resolv.conf', () => {
  const text = '# x\n nameserver 1.2.3.4\nnameserver fe80::1%eth0\nnameserver nonsense\nsearch a'
  assert.equal(serversOf(text), ['1.2.3.4', 'fe80::1%eth0'])
})

test('listening sockets of /proc/net/tcp, udp and their IPv6 kin', () => {
  const row = (local: string, state: string, inode: number) =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0`
  const text = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    row('0100007F:1F90', '0A', 1),
    row('00000000:0050', '0A', 2),
    row('020000C0:0050', '01', 3),
    row(`${'0'.repeat(32)}:01BB`, '0A', 4),
    row('0000000000000000FFFF00000100007F:0016', '0A', 5),
    row('B80D0120000000000000000001000000:0017', '0A', 6),
  ].join('\n')
  assert.equal(parseListeners(row('00000000:0035', '07', 9), 'udp'), [
    { address: '0.0.0.0', port: 53, inode: 9 },
  ])
  assert.equal(parseListeners(text, 'udp'), [])
  assert.equal(parseListeners(text, 'tcp'), [
    { address: '127.0.0.1', port: 8080, inode: 1 },
    { address: '0.0.0.0', port: 80, inode: 2 },
    { address: '0.0.0.0', port: 443, inode: 4 },
    { address: '127.0.0.1', port: 22, inode: 5 },
    { address: null, port: 23, inode: 6 },
  ])
})

test('who takes associations of SCTP, at each of its addresses', () => {
  const text = ` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
 ffff8880 ffff8881 2   10  29   9000      0 22 203.0.113.1 10.1.0.1
 ffff8882 ffff8883 2   10  29   9001      0 23 0000:0000:0000:0000:0000:0000:0000:0000
 ffff8884 ffff8885 2   7   29   9002      0 24 0.0.0.0
`
  assert.equal(parseEndpoints(text), [
    { address: '203.0.113.1', port: 9000, inode: 22 },
    { address: '10.1.0.1', port: 9000, inode: 22 },
    { address: '0.0.0.0', port: 9001, inode: 23 },
  ])
})

test.run()
