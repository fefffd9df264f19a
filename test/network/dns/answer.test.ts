import { decode, encode, type Packet, type RecordType } from 'dns-packet'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answer, type Verdict } from '../../../src/network/dns/answer.ts'
import {
  indexZone,
  type Scope,
  type Zone,
  type ZoneContainer,
} from '../../../src/network/dns/zone.ts'

const container = (
  name: string,
  address: string,
  more: Partial<ZoneContainer> = {},
): ZoneContainer => ({
  name: `shop-${name}`,
  address,
  names: [name.replace(/-\d+$/, ''), `shop-${name}`],
  healthy: true,
  servers: [],
  ...more,
})

const ZONE: Zone = {
  networks: [
    {
      id: 'shop/front',
      internal: false,
      names: ['web', 'db', 'gone'],
      services: [],
      containers: [
        container('web-1', '10.1.0.2'),
        container('web-2', '10.1.0.3'),
        container('web-3', '10.1.0.4', { healthy: false }),
        container('db-1', '10.1.0.5', { names: ['db', 'Store'], healthy: false }),
      ],
    },
    {
      id: 'shop/back',
      internal: true,
      names: ['db', 'cache'],
      services: [],
      containers: [
        container('db-1', '10.2.0.5', { names: ['db'] }),
        container('cache-1', '10.2.0.6', { servers: ['192.0.2.53'] }),
      ],
    },
    {
      id: 'blog/front',
      internal: false,
      names: ['web'],
      services: [],
      containers: [container('web-1', '10.3.0.2')],
    },
  ],
}
const scopeOf = indexZone(ZONE)

function scope(source: string): Scope {
  const found = scopeOf(source)
  if (found === null) throw new Error(`${source} is nobody`)
  return found
}

const query = (name: string, type: RecordType | 'ANY' = 'A', more: Partial<Packet> = {}): Buffer =>
  encode({
    type: 'query',
    id: 4711,
    flags: 0x100,
    questions: [{ name, type: type as RecordType }],
    ...more,
  })

const ask = (source: string, bytes: Buffer, turn = 0, transport: 'udp' | 'tcp' = 'udp'): Verdict =>
  answer(bytes, { scope: scope(source), transport, turn })

function told(verdict: Verdict): {
  rcode: string
  data: unknown[]
  truncated: boolean
  packet: Packet
} {
  if (verdict.kind !== 'reply')
    return { rcode: verdict.kind, data: [], truncated: false, packet: {} }
  const packet = decode(verdict.message) as unknown as Packet & {
    rcode: string
    flag_tc: boolean
  }
  assert.is(packet.id, 4711)
  assert.is(packet.type, 'response')
  return {
    rcode: packet.rcode,
    truncated: packet.flag_tc,
    packet,
    data: (packet.answers ?? []).map((record) => ('data' in record ? record.data : null)),
  }
}

test('a service is all its healthy replicas, in turns', () => {
  const first = told(ask('10.1.0.5', query('web')))
  assert.equal(first.data, ['10.1.0.2', '10.1.0.3'])
  assert.equal(told(ask('10.1.0.5', query('web'), 1)).data, ['10.1.0.3', '10.1.0.2'])
  const [record] = first.packet.answers ?? []
  assert.ok(record !== undefined && 'ttl' in record && (record.ttl ?? 99) <= 5)
})

test('container name, alias and case', () => {
  assert.equal(told(ask('10.1.0.2', query('shop-web-2'))).data, ['10.1.0.3'])
  const alias = told(ask('10.1.0.2', query('sTORE')))
  assert.equal(alias.data, ['10.1.0.5'])
  assert.is(alias.packet.questions?.[0]?.name, 'sTORE')
  assert.is(alias.packet.answers?.[0]?.name, 'sTORE')
})

test('unhealthy replicas are answered when there is no other', () => {
  assert.equal(told(ask('10.1.0.2', query('db'))).data, ['10.1.0.5'])
  assert.equal(told(ask('10.1.0.2', query('shop-web-3'))).data, ['10.1.0.4'])
})

test('a name means only what asker and answerer share', () => {
  assert.equal(told(ask('10.2.0.6', query('db'))).data, ['10.2.0.5'])
  assert.is(told(ask('10.2.0.6', query('web'))).rcode, 'NXDOMAIN')
  assert.equal(told(ask('10.2.0.5', query('cache'))).data, ['10.2.0.6'])
  assert.equal(told(ask('10.3.0.2', query('web'))).data, ['10.3.0.2'])
  assert.is(scopeOf('10.9.9.9'), null)
})

test('a declared name without a running container is told at once, never asked outside', () => {
  assert.is(told(ask('10.1.0.2', query('gone'))).rcode, 'NXDOMAIN')
})

test('a known name has no AAAA, but it exists; ANY gets the addresses', () => {
  for (const type of ['AAAA', 'MX', 'TXT', 'SRV'] as const) {
    const { rcode, data } = told(ask('10.1.0.2', query('web', type)))
    assert.equal([rcode, data.length], ['NOERROR', 0])
  }
  assert.is(told(ask('10.1.0.2', query('web', 'ANY'))).data.length, 2)
})

test('addresses have names only where they are shared', () => {
  const reverse = '5.0.1.10.in-addr.arpa'
  assert.equal(told(ask('10.1.0.2', query(reverse, 'PTR'))).data, ['shop-db-1'])
  assert.is(told(ask('10.2.0.6', query(reverse, 'PTR'))).rcode, 'NXDOMAIN')
  assert.is(ask('10.3.0.2', query(reverse, 'PTR')).kind, 'forward')
})

test('other names are for outside, unless there is no outside', () => {
  assert.is(ask('10.1.0.2', query('example.org')).kind, 'forward')
  assert.is(ask('10.2.0.5', query('example.org')).kind, 'forward')
  assert.is(told(ask('10.2.0.6', query('example.org'))).rcode, 'NXDOMAIN')
  assert.is(told(ask('10.1.0.2', query('example.org', 'ANY'))).rcode, 'NOTIMP')
  assert.is(told(ask('10.1.0.2', query('example.org', 'AXFR'))).rcode, 'REFUSED')
  assert.equal(scope('10.2.0.6').servers, ['192.0.2.53'])
})

test('a service with an address of its own is that address, and its name backwards', () => {
  const network = {
    id: 'a/b',
    internal: false,
    names: ['web', 'tasks.web'],
    services: [{ name: 'web', address: '10.5.0.100', names: ['web', 'Shop'] }],
    containers: [
      container('web-1', '10.5.0.1', { names: ['shop-web-1', 'tasks.web'], healthy: false }),
      container('web-2', '10.5.0.2', { names: ['shop-web-2', 'tasks.web'], healthy: false }),
      container('other-1', '10.5.0.3', { names: ['shop'] }),
    ],
  }
  const index = indexZone({ networks: [network] })
  const scope = index('10.5.0.1')
  assert.equal(scope?.lookup('web'), ['10.5.0.100'])
  assert.equal(scope?.lookup('shop'), ['10.5.0.100', '10.5.0.3'])
  assert.equal(scope?.lookup('tasks.web'), ['10.5.0.1', '10.5.0.2'])
  assert.is(scope?.reverse('10.5.0.100'), 'web')
  assert.is(index('10.5.0.100'), null)
})

test('a large service is cut over UDP and whole over TCP', () => {
  const containers = Array.from({ length: 200 }, (_, index) =>
    container(`many-${index + 1}`, `10.5.0.${index + 1}`),
  )
  const zone = { networks: [{ id: 'a/b', internal: false, names: [], services: [], containers }] }
  const many = indexZone(zone)('10.5.0.1') as Scope
  const size = (bytes: Buffer, transport: 'udp' | 'tcp') => {
    const verdict = answer(bytes, { scope: many, transport, turn: 0 })
    if (verdict.kind !== 'reply') throw new Error(verdict.kind)
    const { data, truncated } = told(verdict)
    return { bytes: verdict.message.length, truncated, count: data.length }
  }
  const plain = size(query('many'), 'udp')
  assert.ok(plain.bytes <= 512 && plain.truncated && plain.count > 20)
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] }
  const edns = size(query('many', 'A', { additionals: [opt as never] }), 'udp')
  assert.ok(edns.bytes <= 1232 && edns.truncated && edns.count > plain.count)
  assert.equal(size(query('many'), 'tcp').count, 200)
})

test('an EDNS that nobody knows yet is told, and a refusal has EDNS where the question has', () => {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] }
  const asked = (name: string, ednsVersion: number) => {
    const bytes = query(name, 'A', { additionals: [{ ...opt, ednsVersion } as never] })
    const verdict = answer(bytes, {
      scope: scopeOf('10.1.0.2') as Scope,
      transport: 'udp',
      turn: 0,
    })
    if (verdict.kind !== 'reply') throw new Error(verdict.kind)
    const { additionals = [] } = decode(verdict.message)
    const [found] = additionals as readonly { readonly extendedRcode?: number }[]
    return [verdict.message.readUInt16BE(2) & 0xf, found?.extendedRcode]
  }
  assert.equal(asked('web', 255), [0, 1])
  assert.equal(asked('web', 0), [0, 0])
  assert.equal(asked('gone', 0), [3, 0])
})

test('hostile packets get a refusal or nothing', () => {
  const good = query('web')
  const changed = (...bytes: [number, number][]) => {
    const copy = Buffer.from(good)
    for (const [at, value] of bytes) copy[at] = value
    return copy
  }
  const outcome = (bytes: Buffer) => told(ask('10.1.0.2', bytes)).rcode
  assert.is(outcome(Buffer.alloc(0)), 'ignore')
  assert.is(outcome(good.subarray(0, 11)), 'ignore')
  assert.is(outcome(changed([2, 0x81])), 'ignore', 'an answer')
  assert.is(outcome(changed([2, 0x10])), 'NOTIMP', 'another opcode')
  assert.is(outcome(changed([5, 0])), 'FORMERR', 'no question')
  assert.is(outcome(changed([4, 255], [5, 255])), 'FORMERR', 'many questions')
  assert.is(outcome(changed([6, 255], [7, 255])), 'FORMERR', 'many answers')
  assert.is(outcome(changed([12, 0xc0], [13, 12])), 'FORMERR', 'a pointer to itself')
  assert.is(outcome(changed([12, 0xc0], [13, 0])), 'FORMERR', 'a pointer into the header')
  assert.is(outcome(changed([12, 63])), 'FORMERR', 'a label past the end')
  assert.is(outcome(changed([12, 0x80])), 'FORMERR', 'a reserved label')
  assert.is(outcome(good.subarray(0, good.length - 1)), 'FORMERR', 'cut short')
  const long = Buffer.concat([
    good.subarray(0, 12),
    ...Array.from({ length: 8 }, () => Buffer.from(`${String.fromCharCode(63)}${'a'.repeat(63)}`)),
    Buffer.from([0, 0, 1, 0, 1]),
  ])
  assert.is(outcome(long), 'FORMERR', 'a name of 512 bytes')
  assert.is(
    outcome(
      query('version.bind', 'TXT', { questions: [{ name: 'web', type: 'TXT', class: 'CH' }] }),
    ),
    'REFUSED',
  )
})

test('no bytes make it throw, and it never answers more than it was asked about', () => {
  const random = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes))
  const mutated = fc
    .tuple(fc.constantFrom(query('web'), query('example.org')), fc.nat(64), fc.nat(255))
    .map(([bytes, at, value]) => {
      const copy = Buffer.from(bytes)
      if (at < copy.length) copy[at] = value
      return copy
    })
  const context = { scope: scope('10.1.0.2'), transport: 'udp' as const, turn: 3 }
  fc.assert(
    fc.property(fc.oneof(random, mutated), (bytes) => {
      const verdict = answer(bytes, context)
      if (verdict.kind === 'reply') {
        assert.ok(verdict.message.length <= 1232)
        assert.equal(verdict.message.subarray(0, 2), bytes.subarray(0, 2))
        decode(verdict.message)
      }
    }),
    { numRuns: 2000 },
  )
})

test('both families: AAAA for who has one, PTR for either', () => {
  const zone: Zone = {
    networks: [
      {
        id: 'shop/front',
        internal: true,
        names: ['web', 'old'],
        services: [{ name: 'api', address: '10.1.0.9', names: ['api'] }],
        containers: [
          container('web-1', '10.1.0.2', { address6: 'fd00:1::2' }),
          container('web-2', '10.1.0.3', { address6: 'fd00:1::3', healthy: false }),
          container('old-1', '10.1.0.4'),
        ],
      },
    ],
  }
  const scope = indexZone(zone)('10.1.0.2')
  assert.ok(scope)
  const asked = (type: RecordType, name: string): readonly unknown[] => {
    const query = encode({ type: 'query', id: 1, questions: [{ type, name }] })
    const verdict = answer(query, { scope, transport: 'udp', turn: 0 })
    if (verdict.kind !== 'reply') return [verdict.kind]
    const { answers = [] } = decode(verdict.message)
    return answers.map((record) => ('data' in record ? record.data : null))
  }
  assert.equal(asked('AAAA', 'web'), ['fd00:1::2'])
  assert.equal(asked('A', 'web'), ['10.1.0.2'])
  assert.equal(asked('AAAA', 'old'), [])
  // The address of a service is IPv4.
  assert.equal(asked('AAAA', 'api'), [])
  const reversed = [...'fd000001000000000000000000000003'].reverse().join('.')
  assert.equal(asked('PTR', `${reversed}.ip6.arpa`), ['shop-web-2'])
  assert.equal(asked('PTR', `${reversed.slice(2)}.ip6.arpa`), [])
})

test('SRV leads where the name leads, to the ports that are told; the host has a name', () => {
  const ports = [
    { port: 80, protocol: 'tcp' },
    { port: 9000, protocol: 'udp' },
  ]
  const scope = indexZone({
    networks: [
      {
        id: 'shop/front',
        internal: true,
        gateways: ['10.1.0.1', 'fd00:1::1'],
        names: ['web', 'api', 'old'],
        services: [{ name: 'api', address: '10.1.0.9', names: ['api'], ports }],
        containers: [
          container('web-1', '10.1.0.2', { ports }),
          container('web-2', '10.1.0.3', { ports, healthy: false }),
          container('api-1', '10.1.0.4', { ports, names: ['shop-api-1', 'tasks.api'] }),
        ],
      },
    ],
  })('10.1.0.2')
  assert.ok(scope)
  const asked = (type: RecordType, name: string): readonly unknown[] => {
    const query = encode({ type: 'query', id: 1, questions: [{ type, name }] })
    const verdict = answer(query, { scope, transport: 'udp', turn: 0 })
    if (verdict.kind !== 'reply') return [verdict.kind]
    const told = decode(verdict.message) as unknown as Packet & { rcode: string }
    const found = (told.answers ?? []).map((record) => ('data' in record ? record.data : null))
    return found.length === 0 ? [told.rcode] : found
  }
  const to = (target: string, port: number) => ({ priority: 0, weight: 1, port, target })
  assert.equal(asked('SRV', '_http._tcp.web'), [to('shop-web-1', 80)])
  assert.equal(asked('SRV', '_9000._udp.web'), [to('shop-web-1', 9000)])
  assert.equal(asked('SRV', 'web'), [to('shop-web-1', 80), to('shop-web-1', 9000)])
  assert.equal(asked('SRV', '_80._tcp.api'), [to('api', 80)])
  assert.equal(asked('SRV', '_80._tcp.tasks.api'), [to('shop-api-1', 80)])
  assert.equal(asked('SRV', '_81._tcp.web'), ['NXDOMAIN'])
  assert.equal(asked('SRV', '_80._tcp.old'), ['NXDOMAIN'])
  assert.equal(asked('SRV', '_80._tcp.example.org'), ['NXDOMAIN'])
  assert.equal(asked('A', 'host.pak.internal'), ['10.1.0.1'])
  assert.equal(asked('AAAA', 'HOST.pak.internal'), ['fd00:1::1'])
  assert.equal(asked('PTR', '1.0.1.10.in-addr.arpa'), ['host.pak.internal'])
  assert.equal(asked('MX', 'web'), ['NOERROR'])
})

test.run()
