import * as dgram from 'node:dgram'
import { once } from 'node:events'
import * as net from 'node:net'
import { decode, encode } from 'dns-packet'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forwarder } from '../../../src/network/dns/forward.ts'
import { frame, readFrames } from '../../../src/network/dns/frame.ts'
import { parseQuery, type Query } from '../../../src/network/dns/message.ts'

/** Fake name servers on one port of several addresses of 127/8, over UDP and TCP. */
async function servers(
  ...replies: readonly ((bytes: Buffer, transport: 'udp' | 'tcp') => Buffer | null)[]
) {
  const asked: string[] = []
  const open: (dgram.Socket | net.Server)[] = []
  let port = 0
  for (const [index, reply] of replies.entries()) {
    const address = `127.0.2.${index + 1}`
    const udp = dgram.createSocket('udp4').bind(port, address)
    await once(udp, 'listening')
    port = udp.address().port
    udp.on('message', (bytes, from) => {
      asked.push(`${address} udp`)
      const found = reply(bytes, 'udp')
      if (found !== null) udp.send(found, from.port, from.address)
    })
    const tcp = net.createServer((socket) =>
      readFrames(
        socket.on('error', () => {}),
        (bytes) => {
          asked.push(`${address} tcp`)
          const found = reply(bytes, 'tcp')
          if (found !== null) socket.write(frame(found))
        },
      ),
    )
    tcp.listen(port, address)
    await once(tcp, 'listening')
    open.push(udp, tcp)
  }
  return {
    port,
    asked,
    async [Symbol.asyncDispose]() {
      for (const each of open) each.close()
    },
  }
}

function question(name: string, id = 7): Query {
  const query = parseQuery(
    encode({ type: 'query', id, flags: 0x100, questions: [{ name, type: 'A' }] }),
  )
  if (typeof query !== 'object') throw new Error('not a query')
  return query
}

const yes = (bytes: Buffer, data = '192.0.2.1'): Buffer => {
  const { id = 0, questions = [] } = decode(bytes)
  const name = questions[0]?.name ?? ''
  const answers = [
    { name, type: 'CNAME' as const, ttl: 9, data: `x.${name}` },
    { name: `x.${name}`, type: 'A' as const, ttl: 9, data },
  ]
  return encode({ type: 'response', id, questions, answers })
}
const code = (bytes: Buffer, rcode: number, flags = 0): Buffer => {
  const { id = 0, questions = [] } = decode(bytes)
  return encode({ type: 'response', id, flags: flags | rcode, questions })
}
/** A record whose name points to itself. */
const circle = (bytes: Buffer): Buffer => {
  const whole = code(bytes, 0)
  whole.writeUInt16BE(1, 6)
  const tail = [0xc0, whole.length, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]
  return Buffer.concat([whole, Buffer.from(tail)])
}
const ADDRESSES = ['127.0.2.1', '127.0.2.2', '127.0.2.3']
const from = (count: number, transport: 'udp' | 'tcp' = 'udp') => ({
  source: '10.1.0.2',
  servers: ADDRESSES.slice(0, count),
  transport,
  signal: new AbortController().signal,
})

test('who cannot say, or says nonsense, or nothing gives way to the next; who was silent is asked last', async () => {
  await using here = await servers(
    () => null,
    (bytes) => code(bytes, 2),
    (bytes) => yes(bytes),
  )
  const forward = forwarder({ port: here.port, attemptMs: 100 })
  const found = decode(await forward(question('a.test'), from(3)))
  assert.is(found.answers?.length, 2, 'a chain of names is handed on whole')
  assert.equal(here.asked, ['127.0.2.1 udp', '127.0.2.2 udp', '127.0.2.3 udp'])
  await forward(question('b.test'), from(3))
  assert.equal(here.asked.slice(3), ['127.0.2.2 udp', '127.0.2.3 udp'])
  await using odd = await servers(circle, (bytes) => code(bytes, 5))
  const told = await forwarder({ port: odd.port })(question('c.test'), from(2))
  assert.is((told[3] ?? 0) & 15, 5, 'the best that was said')
})

test('asked once: twice at a time, and while it may be kept; each with its own id and spelling', async () => {
  await using here = await servers((bytes) => yes(bytes))
  let now = 0
  const forward = forwarder({ port: here.port, now: () => now })
  const both = await Promise.all([
    forward(question('a.test', 1), from(1)),
    forward(question('A.tEst', 2), from(1)),
  ])
  now = 5_000
  const later = await forward(question('a.TEST', 3), from(1))
  assert.equal(
    [...both, later].map((message) => [
      message.readUInt16BE(0),
      decode(message).questions?.[0]?.name,
    ]),
    [
      [1, 'a.test'],
      [2, 'A.tEst'],
      [3, 'a.TEST'],
    ],
  )
  assert.is(here.asked.length, 1)
  // Other servers: another answer.
  await forward(question('a.test'), { ...from(1), servers: ['127.0.2.1', '127.0.2.9'] })
  assert.is(here.asked.length, 2)
  now = 20_000
  await forward(question('a.test'), from(1))
  assert.is(here.asked.length, 3)
})

test('what is cut over UDP is asked for again over TCP', async () => {
  await using here = await servers((bytes, transport) =>
    transport === 'udp' ? code(bytes, 0, 0x200) : yes(bytes),
  )
  const forward = forwarder({ port: here.port })
  const cut = await forward(question('a.test'), from(1))
  assert.ok((cut[2] ?? 0) & 2)
  assert.is(decode(await forward(question('a.test'), from(1, 'tcp'))).answers?.length, 2)
})

test('nobody is asked what it asks itself, and a longer circle ends', async () => {
  await using here = await servers((bytes) => yes(bytes))
  const forward = forwarder({ port: here.port, attemptMs: 200 })
  const own = await forward(question('a.test'), { ...from(1), source: '127.0.2.1' })
  assert.is((own[3] ?? 0) & 15, 2)
  assert.equal(here.asked, [])
  // The server asks us what we ask it, from an address that does not tell.
  const back: Promise<Buffer>[] = []
  await using round = await servers((bytes) => {
    const { name = '' } = decode(bytes).questions?.[0] ?? {}
    back.push(circling(question(name), from(1)))
    return null
  })
  const circling = forwarder({ port: round.port, attemptMs: 200 })
  assert.is(((await circling(question('b.test'), from(1)))[3] ?? 0) & 15, 2)
  await Promise.all(back)
  assert.is(round.asked.length, 1)
})

test.run()
