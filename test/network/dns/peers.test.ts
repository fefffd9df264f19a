import * as dgram from 'node:dgram'
import { once } from 'node:events'
import { decode, encode, type Packet } from 'dns-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answer } from '../../../src/network/dns/answer.ts'
import { peerNames } from '../../../src/network/dns/peers.ts'
import { indexZone, type Scope, type ZoneNetwork } from '../../../src/network/dns/zone.ts'

const container = (name: string, address: string) => ({
  name,
  address,
  names: [name.replace(/-\d+$/, ''), name],
  healthy: true,
  servers: [],
})
/** This machine's part of a network; the peers' gateways are addresses of 127/8, where they answer. */
const network = (peers: readonly string[]): ZoneNetwork => ({
  id: 'shop/mesh',
  internal: false,
  gateways: ['10.60.0.1'],
  peers: peers.map((gateway, index) => ({ gateway, range: `10.60.${64 * (index + 1)}.0/18` })),
  containers: [
    container('web-1', '10.60.0.2'),
    { ...container('sick-1', '10.60.0.3'), healthy: false },
  ],
  services: [],
  names: ['web', 'stopped'],
})
const scopeAt = (peers: readonly string[], source = '10.60.0.2'): Scope => {
  const scope = indexZone({ networks: [network(peers)] })(source)
  if (scope === null) throw new Error('no scope')
  return scope
}
const ask = (name: string, type: 'A' | 'AAAA' | 'PTR' | 'SRV' = 'A'): Buffer =>
  encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name, type }] })

type Reply = (bytes: Buffer) => Buffer | null

/** Peers that answer as they are told, on one port of 127.0.3.1, 127.0.3.2, ... */
async function peersThat(...replies: readonly Reply[]) {
  const open: dgram.Socket[] = []
  const asked: string[] = []
  let port = 0
  for (const [index, reply] of replies.entries()) {
    const address = `127.0.3.${index + 1}`
    const socket = dgram.createSocket('udp4').bind(port, address)
    await once(socket, 'listening')
    port = socket.address().port
    socket.on('message', (bytes, from) => {
      asked.push(`${address} ${decode(bytes).questions?.[0]?.name}`)
      const found = reply(bytes)
      if (found !== null) socket.send(found, from.port, from.address)
    })
    open.push(socket)
  }
  let clock = 0
  const names = peerNames({ port, attemptMs: 300, now: () => clock })
  const scope = scopeAt(replies.map((_, index) => `127.0.3.${index + 1}`))
  return {
    asked,
    pass: (ms: number) => {
      clock += ms
    },
    /** What a container is told: addresses, `forward`, or the code of a refusal. */
    async told(bytes: Buffer): Promise<unknown> {
      const known = await names(bytes, scope, new AbortController().signal)
      if (Buffer.isBuffer(known)) return summary(known)
      const verdict = answer(bytes, { scope: known, transport: 'udp', turn: 0 })
      return verdict.kind === 'reply' ? summary(verdict.message) : verdict.kind
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.close()
    },
  }
}

function summary(message: Buffer): unknown {
  const { answers = [] } = decode(message)
  const code = (message[3] ?? 0) & 0x0f
  return code === 0 ? answers.map((record) => ('data' in record ? record.data : null)) : code
}

const records = (...data: readonly string[]): Reply => lasting(2, ...data)
const lasting =
  (ttl: number, ...data: readonly string[]): Reply =>
  (bytes) => {
    const { id = 0, questions = [] } = decode(bytes)
    const name = questions[0]?.name ?? ''
    const answers = data.map((text) => ({ name, type: 'A' as const, ttl, data: text }))
    return encode({ type: 'response', id, questions, answers })
  }
const code =
  (rcode: number): Reply =>
  (bytes) => {
    const { id = 0, questions = [] } = decode(bytes)
    return encode({ type: 'response', id, flags: rcode, questions })
  }
const silence: Reply = () => null

test('what peers have is joined with what is here', async () => {
  await using peers = await peersThat(records('10.60.64.2', '10.60.64.3'), code(3))
  assert.equal(await peers.told(ask('web')), ['10.60.0.2', '10.60.64.2', '10.60.64.3'])
  assert.equal(await peers.told(ask('db')), ['10.60.64.2', '10.60.64.3'])
  assert.equal(await peers.told(ask('tasks.db')), ['10.60.64.2', '10.60.64.3'])
  assert.equal(await peers.told(ask('stopped')), ['10.60.64.2', '10.60.64.3'])
  // It is there, with nothing of that type: no reason to ask the world outside.
  assert.equal(await peers.told(ask('db', 'AAAA')), [])
})

test('who is healthy goes before who is not, wherever it is', async () => {
  await using peers = await peersThat(lasting(0, '10.60.64.2'), records('10.60.128.2'))
  assert.equal(await peers.told(ask('db')), ['10.60.128.2'])
  assert.equal(await peers.told(ask('web')), ['10.60.0.2', '10.60.128.2'])
  assert.equal(await peers.told(ask('sick')), ['10.60.128.2'])
  await using alone = await peersThat(lasting(0, '10.60.64.2'))
  assert.equal(await alone.told(ask('db')), ['10.60.64.2'])
  assert.equal(await alone.told(ask('web')), ['10.60.0.2'])
  assert.equal(await alone.told(ask('sick')), ['10.60.0.3', '10.60.64.2'])
  // A peer is told which of the two it is.
  const scope = scopeAt(['10.60.64.1'], '10.60.64.1')
  const ttlOf = (name: string) => {
    const verdict = answer(ask(name), { scope, transport: 'udp', turn: 0 })
    const [record] = verdict.kind === 'reply' ? (decode(verdict.message).answers ?? []) : []
    return record !== undefined && 'ttl' in record ? record.ttl : null
  }
  assert.is(ttlOf('sick'), 0)
  assert.is(ttlOf('web'), 2)
})

test('names of the world outside are no business of peers', async () => {
  await using peers = await peersThat(records('10.60.64.2'))
  assert.is(await peers.told(ask('example.com')), 'forward')
  assert.equal(await peers.told(ask('host.pak.internal')), ['10.60.0.1'])
  assert.equal(peers.asked, [])
})

test('what no peer has goes on as before', async () => {
  await using peers = await peersThat(code(3), code(3))
  assert.is(await peers.told(ask('db')), 'forward')
  assert.is(await peers.told(ask('stopped')), 3)
  assert.equal(await peers.told(ask('web')), ['10.60.0.2'])
})

test('a peer that is silent is waited for once, and asked again later', async () => {
  await using peers = await peersThat(silence, records('10.60.128.2'))
  assert.equal(await peers.told(ask('db')), ['10.60.128.2'])
  assert.equal(peers.asked.length, 2)
  peers.pass(2_000)
  assert.equal(await peers.told(ask('web')), ['10.60.0.2', '10.60.128.2'])
  assert.equal(peers.asked.slice(2), ['127.0.3.2 web'])
  peers.pass(2_000)
  await peers.told(ask('web'))
  assert.ok(peers.asked.slice(3).includes('127.0.3.1 web'))
})

test('what only a silent peer may know fails as temporary', async () => {
  await using peers = await peersThat(silence, code(3))
  assert.is(await peers.told(ask('db')), 2)
  assert.equal(await peers.told(ask('web')), ['10.60.0.2'])
})

test('the same question is asked once at a time, and not again at once', async () => {
  await using peers = await peersThat(records('10.60.64.2'))
  await Promise.all([1, 2, 3].map(() => peers.told(ask('db'))))
  await peers.told(ask('DB'))
  assert.equal(peers.asked.length, 1)
  peers.pass(1_500)
  await peers.told(ask('db'))
  assert.equal(peers.asked.length, 2)
})

test('a hostile peer speaks for its own containers only, and breaks nothing', async () => {
  const replies: readonly Reply[] = [
    records('10.60.0.2', '192.0.2.66', '10.60.128.9', '10.60.64.7'),
    (bytes) => Buffer.concat([records('10.60.64.7')(bytes) ?? bytes, Buffer.alloc(900, 0xc0)]),
    (bytes) => (records('10.60.64.7')(bytes) ?? bytes).subarray(0, 30),
    (bytes) => Buffer.concat([bytes.subarray(0, 2), Buffer.alloc(600, 0xff)]),
    () => Buffer.alloc(3),
    code(5),
  ]
  const expected: readonly unknown[] = [['10.60.64.7'], ['10.60.64.7'], 2, 2, 2, 2]
  for (const [index, reply] of replies.entries()) {
    await using peers = await peersThat(reply)
    assert.equal(await peers.told(ask('db')), expected[index], `reply ${index}`)
  }
})

test('addresses and ports are asked for where they are', async () => {
  const pointer: Reply = (bytes) => {
    const { id = 0, questions = [] } = decode(bytes)
    const [{ name = '', type = 'A' } = {}] = questions
    const answers: Packet['answers'] =
      type === 'PTR'
        ? [{ name, type, data: 'db-1' }]
        : [{ name, type: 'SRV', data: { port: 5432, target: 'db-1' } }]
    return encode({ type: 'response', id, questions, answers })
  }
  await using peers = await peersThat(pointer, silence)
  assert.equal(await peers.told(ask('2.64.60.10.in-addr.arpa', 'PTR')), ['db-1'])
  assert.equal(await peers.told(ask('2.0.60.10.in-addr.arpa', 'PTR')), ['web-1'])
  assert.is(await peers.told(ask('2.0.0.10.in-addr.arpa', 'PTR')), 'forward')
  const [found] = (await peers.told(ask('_5432._tcp.db', 'SRV'))) as [{ port: number }]
  assert.is(found.port, 5432)
})

test('a peer is told what is here, and nothing is asked for on its behalf', () => {
  const scope = scopeAt(['10.60.64.1'], '10.60.64.1')
  const told = (name: string, type: 'A' | 'PTR' = 'A') => {
    const verdict = answer(ask(name, type), { scope, transport: 'udp', turn: 0 })
    return verdict.kind === 'reply' ? summary(verdict.message) : verdict.kind
  }
  assert.equal(scope.peers, [])
  assert.equal(told('web'), ['10.60.0.2'])
  assert.equal(told('2.0.60.10.in-addr.arpa', 'PTR'), ['web-1'])
  for (const name of ['db', 'example.com', 'host.pak.internal', 'stopped']) assert.is(told(name), 3)
})

test.run()
