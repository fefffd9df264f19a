// not in the emulated machine: nothing of it depends on the version of cgroups, and it counts on sockets that keep up
import { createSocket } from 'node:dgram'
import * as fs from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UnixDatagrams } from '../../../src/executor/linux/unix-datagrams.ts'
import { DatagramPool, UnixSink } from '../../../src/executor/linux/unix-sink.ts'
import { SinkClosed } from '../../../src/telemetry/forward/sink.ts'
import { StreamSink } from '../../../src/telemetry/forward/stream-sink.ts'
import { framed } from '../../../src/telemetry/forward/syslog.ts'
import { UdpSink } from '../../../src/telemetry/forward/udp-sink.ts'
import { eventually } from '../../support/eventually.ts'
import { installed, testUnless } from '../../support/skip.ts'
import { datagramsAt } from './datagrams.ts'

const lacksPerl = installed('perl') ? null : 'not installed: perl'
const messages = (...texts: readonly string[]) => texts.map((text) => Buffer.from(text))
const frame = (message: Buffer) => framed(message, 'rfc5424')

async function failure(sent: Promise<void>): Promise<string> {
  return sent.then(
    () => 'it was sent',
    (error: Error & { code?: string }) => error.code ?? error.message,
  )
}

/** A stream server that counts, hangs up on command, and may not read. */
async function streamServer(at: { port: number; host: string } | { path: string }) {
  const sockets: Socket[] = []
  let text = ''
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket)
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    socket.on('error', () => {})
    if (!held) socket.resume()
  })
  let held = false
  await new Promise<void>((resolve) => server.listen(at, resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    text: () => text,
    hold: () => {
      held = true
    },
    hangUp: () => {
      for (const socket of sockets) socket.destroy()
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('TCP: framed by length, connected anew when the server has hung up', async () => {
  const server = await streamServer({ port: 0, host: '127.0.0.1' })
  using sink = new StreamSink({ kind: 'tcp', host: '127.0.0.1', port: server.port }, frame)
  await sink.send(messages('one', 'zwö'))
  await eventually('two messages', () => server.text() === '3 one4 zwö')
  server.hangUp()
  await eventually('the third', async () => {
    await sink.send(messages('3')).catch(() => {})
    return server.text().includes('1 3')
  })
  await server[Symbol.asyncDispose]()
  const again = new StreamSink({ kind: 'tcp', host: '127.0.0.1', port: server.port }, frame)
  assert.is(await failure(again.send(messages('four'))), 'ECONNREFUSED')
  again[Symbol.dispose]()
})

test('TCP: who waits for a server that reads nothing can leave', async () => {
  await using server = await streamServer({ port: 0, host: '127.0.0.1' })
  server.hold()
  const sink = new StreamSink({ kind: 'tcp', host: '127.0.0.1', port: server.port }, frame)
  const sent = sink.send([Buffer.alloc(64 * 1024 * 1024, 'x')])
  const soon = new Promise((resolve) => setTimeout(resolve, 300, 'waits'))
  assert.is(await Promise.race([sent, soon]), 'waits')
  sink[Symbol.dispose]()
  const left = await sent.catch((error: unknown) => error)
  assert.instance(left, SinkClosed, String(left))
  assert.is(await failure(sink.send(messages('late'))), 'closed')
})

test('UDP: one datagram a message; a port that nobody has is told', async () => {
  const server = createSocket('udp4')
  const got: string[] = []
  server.on('message', (text) => got.push(text.toString()))
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
  const { port } = server.address()
  using sink = new UdpSink({ host: '127.0.0.1', port })
  await sink.send(messages('one', 'two'))
  await eventually('two', () => got.join() === 'one,two')
  await new Promise<void>((resolve) => server.close(() => resolve()))
  assert.is(await failure(sink.send(messages('three'))), 'ECONNREFUSED')
  const again = createSocket('udp4')
  again.on('message', (text) => got.push(text.toString()))
  await new Promise<void>((resolve) => again.bind(port, '127.0.0.1', resolve))
  await sink.send(messages('three'))
  await eventually('three', () => got.join() === 'one,two,three')
  again.close()
})

testUnless(
  test,
  lacksPerl,
  'a unix socket is a stream or datagrams, whichever listens',
  async () => {
    const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-sink-'))
    const path = join(folder, 'log')
    const pool = new DatagramPool((at) => new UnixDatagrams(at, () => {}))
    const make = () =>
      new UnixSink(new StreamSink({ kind: 'unix', path }, frame), () => pool.sink(path))
    const sink = make()
    assert.is(await failure(sink.send(messages('none'))), 'ENOENT')
    {
      await using server = await streamServer({ path })
      await sink.send(messages('one'))
      await eventually('one', () => server.text() === '3 one')
    }
    await fs.rm(path, { force: true })
    {
      await using server = await datagramsAt(path)
      await eventually('two', () => sink.send(messages('two\nlines', '')).then(() => true))
      await eventually('both', () => server.got.length === 2)
      assert.is(server.got.map(String).join('|'), 'two\nlines|')
    }
    assert.match(await failure(sink.send(messages('gone'))), /refused|ended/)
    sink[Symbol.dispose]()
    await fs.rm(folder, { recursive: true })
  },
)

testUnless(
  test,
  lacksPerl,
  'a receiver that takes nothing holds up who sends, and it alone',
  async () => {
    const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-sink-'))
    const path = join(folder, 'log')
    await using server = await datagramsAt(path)
    const tooLong: number[] = []
    const pool = new DatagramPool((at) => new UnixDatagrams(at, (count) => tooLong.push(count)))
    const [one, other] = [pool.sink(path), pool.sink(path)]
    server.hold()
    const waits = one.send(Array.from({ length: 5000 }, (_, index) => Buffer.from(`${index}`)))
    const after = other.send(messages('after'))
    const soon = new Promise((resolve) => setTimeout(resolve, 300, 'waits'))
    assert.is(await Promise.race([waits, after, soon]), 'waits')
    other[Symbol.dispose]()
    assert.is(await failure(after), 'closed')
    server.goOn()
    await waits
    await eventually('all of them', () => server.got.length >= 5000)
    assert.is(String(server.got[4999]), '4999')
    await one.send([Buffer.alloc(8 * 1024 * 1024), Buffer.from('next')])
    assert.equal(tooLong, [1])
    one[Symbol.dispose]()
    assert.is(await failure(one.send(messages('late'))), 'closed')
    await fs.rm(folder, { recursive: true })
  },
)

test.run()
