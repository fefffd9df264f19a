import * as dgram from 'node:dgram'
import { once } from 'node:events'
import * as net from 'node:net'
import { decode, encode, type Packet } from 'dns-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forwarder } from '../../../src/network/dns/forward.ts'
import { frame, readFrames } from '../../../src/network/dns/frame.ts'
import { serveNames } from '../../../src/network/dns/server.ts'
import type { Zone } from '../../../src/network/dns/zone.ts'

// Every address of 127/8 is this machine: 127.0.1.2 plays a container, 127.0.1.9 a stranger.
const ZONE: Zone = {
  networks: [
    {
      id: 'shop/front',
      internal: false,
      names: [],
      services: [],
      containers: [2, 3].map((last) => ({
        name: `shop-web-${last}`,
        address: `127.0.1.${last}`,
        names: ['web'],
        healthy: true,
        servers: [],
      })),
    },
    {
      id: 'shop/closed',
      internal: true,
      names: [],
      services: [],
      containers: [
        { name: 'shop-db-1', address: '127.0.1.5', names: ['db'], healthy: true, servers: [] },
      ],
    },
  ],
}

interface Server extends AsyncDisposable {
  readonly port: number
  readonly asked: string[]
}

/** The name server on loopback, and a fake one behind it on another port of 127.0.0.1. */
async function server(reply: (query: Buffer) => Buffer[], attemptMs = 300): Promise<Server> {
  const stop = new AbortController()
  const asked: string[] = []
  const upstream = await bound()
  upstream.on('message', (bytes, { port, address }) => {
    asked.push(decode(bytes).questions?.[0]?.name ?? '?')
    for (const message of reply(bytes)) upstream.send(message, port, address)
  })
  const udp = await bound()
  const { port } = udp.address()
  const tcp = net.createServer().listen(port, '0.0.0.0')
  await once(tcp, 'listening')
  serveNames(
    { udp, tcp },
    {
      zone: () => ZONE,
      upstreams: async () => ['127.0.0.1'],
      forward: forwarder({ port: upstream.address().port, attemptMs }),
      signal: stop.signal,
    },
  )
  return {
    port,
    asked,
    async [Symbol.asyncDispose]() {
      stop.abort()
      upstream.close()
      if (tcp.listening) await once(tcp, 'close')
    },
  }
}

async function bound(address = '0.0.0.0'): Promise<dgram.Socket> {
  const socket = dgram.createSocket('udp4')
  socket.bind(0, address)
  await once(socket, 'listening')
  return socket
}

const query = (name: string, id = 77): Buffer =>
  encode({ type: 'query', id, flags: 0x100, questions: [{ name, type: 'A' }] })

const upstreamAnswer = (bytes: Buffer, data: string, count = 1): Buffer => {
  const { id, questions } = decode(bytes)
  const name = questions?.[0]?.name ?? ''
  const answers = Array.from({ length: count }, () => ({ type: 'A' as const, name, data, ttl: 9 }))
  return encode({ type: 'response', id: id ?? 0, questions: questions ?? [], answers })
}

type Told = Packet & { rcode: string; flag_tc: boolean }
const dataOf = ({ answers }: Told) =>
  (answers ?? []).map((record) => ('data' in record ? record.data : ''))

/** Ask over UDP from an address; `null` when nothing comes back while others are answered. */
async function askUdp(
  from: string,
  port: number,
  bytes: Buffer,
  waitMs = 3000,
): Promise<Told | null> {
  const socket = await bound(from)
  const timer = setTimeout(() => socket.emit('message', null), waitMs)
  try {
    socket.send(bytes, port, '127.0.0.1')
    const [answer] = (await once(socket, 'message')) as [Buffer | null]
    return answer === null ? null : (decode(answer) as unknown as Told)
  } finally {
    clearTimeout(timer)
    socket.close()
  }
}

async function askTcp(from: string, port: number, messages: readonly Buffer[]): Promise<Told[]> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress: from })
  const told: Told[] = []
  socket.on('error', () => {})
  readFrames(socket, (message) => {
    told.push(decode(message) as unknown as Told)
    if (told.length === messages.length) socket.end()
  })
  // In pieces of one byte: a frame may arrive in any.
  for (const byte of Buffer.concat(messages.map(frame))) socket.write(Buffer.from([byte]))
  await once(socket, 'close')
  return told
}

test('the same answer over UDP and TCP, and several over one connection', async () => {
  await using here = await server(() => [])
  const told = await askUdp('127.0.1.2', here.port, query('web'))
  assert.equal(told && dataOf(told).sort(), ['127.0.1.2', '127.0.1.3'])
  const both = await askTcp('127.0.1.2', here.port, [query('web', 1), query('shop-web-2', 2)])
  assert.is(both.length, 2)
})

test('a stranger gets nothing', async () => {
  await using here = await server((bytes) => [upstreamAnswer(bytes, '192.0.2.1')])
  assert.is(await askUdp('127.0.1.9', here.port, query('web'), 200), null)
  assert.is(await askUdp('127.0.1.9', here.port, query('example.org'), 200), null)
  assert.equal(await askTcp('127.0.1.9', here.port, [query('web')]), [])
  assert.equal(here.asked, [])
})

test('a name from outside is asked for, and only the true answer is taken', async () => {
  await using here = await server((bytes) => {
    const forged = upstreamAnswer(bytes, '192.0.2.66')
    forged[0] = (forged[0] ?? 0) ^ 0xff
    const other = upstreamAnswer(
      encode({ ...decode(bytes), questions: [{ name: 'x.org', type: 'A' }] }),
      '192.0.2.66',
    )
    return [forged, other, Buffer.from('junk'), upstreamAnswer(bytes, '192.0.2.1')]
  })
  const told = await askUdp('127.0.1.2', here.port, query('example.org'))
  assert.is(told?.id, 77)
  assert.equal(told && dataOf(told), ['192.0.2.1'])
})

test('an internal network asks nobody', async () => {
  await using here = await server((bytes) => [upstreamAnswer(bytes, '192.0.2.1')])
  assert.is((await askUdp('127.0.1.5', here.port, query('example.org')))?.rcode, 'NXDOMAIN')
  assert.equal(here.asked, [])
})

test('an answer too large for the asker is cut', async () => {
  await using here = await server((bytes) => [upstreamAnswer(bytes, '192.0.2.1', 60)])
  const told = await askUdp('127.0.1.2', here.port, query('example.org'))
  assert.equal([told?.flag_tc, told?.answers?.length], [true, 0])
})

test('a silent server ends in SERVFAIL, and a flood does not wait for it', async () => {
  await using here = await server(() => [], 500)
  const socket = await bound('127.0.1.2')
  const codes: string[] = []
  let firstAsked = 0
  socket.on('message', (message) => {
    if (codes.length === 0) firstAsked = here.asked.length
    codes.push((decode(message) as unknown as Told).rcode)
  })
  for (let id = 0; id < 100; id++)
    socket.send(query(`a${id}.example.org`, id), here.port, '127.0.0.1')
  while (codes.length < 100) await once(socket, 'message')
  socket.close()
  assert.ok(codes.every((code) => code === 'SERVFAIL'))
  assert.ok(firstAsked <= 64 && here.asked.length <= 64, 'bounded')
})

test('garbage over TCP ends the connection or gets a refusal, and the server lives on', async () => {
  await using here = await server(() => [])
  assert.equal(await askTcp('127.0.1.2', here.port, [Buffer.alloc(5)]), [])
  const [told] = await askTcp('127.0.1.2', here.port, [Buffer.alloc(40)])
  assert.is(told?.rcode, 'FORMERR')
  assert.ok(await askUdp('127.0.1.2', here.port, query('web')))
})

test.run()
