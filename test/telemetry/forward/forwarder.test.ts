import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Forwarder } from '../../../src/telemetry/forward/forwarder.ts'
import { type Sink, SinkClosed } from '../../../src/telemetry/forward/sink.ts'
import { advanceLog, beginLog } from '../../../src/telemetry/rotation.ts'
import { eventually } from '../../support/eventually.ts'

const KEEP = { maxBytes: 1024 * 1024, maxFiles: 2 }

class Server implements Sink {
  readonly got: string[] = []
  readonly asked: number[] = []
  mode: 'takes' | 'refuses' | 'stalls' = 'takes'
  #reject: (error: Error) => void = () => {}

  async send(messages: readonly Buffer[]): Promise<void> {
    this.asked.push(messages.length)
    if (this.mode === 'refuses') throw new Error('nobody there')
    if (this.mode === 'stalls')
      await new Promise((_, reject) => {
        this.#reject = reject
      })
    this.got.push(...messages.map(String))
  }

  [Symbol.dispose](): void {
    this.#reject(new SinkClosed())
  }
}

interface Lab extends AsyncDisposable {
  readonly server: Server
  readonly warnings: string[]
  /** An agent's life begins. */
  start(): Forwarder
  write(...texts: readonly string[]): Promise<void>
  raw(text: string): Promise<void>
  /** What the monitor and then the keeper do with a full file. */
  rotate(): Promise<void>
}

async function lab(): Promise<Lab> {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-forward-'))
  const path = join(folder, 'logs', 'shop-web-1.log')
  await fs.mkdir(dirname(path))
  await beginLog(path, KEEP)
  await fs.appendFile(path, '')
  const server = new Server()
  const warnings: string[] = []
  const raw = (text: string) => fs.appendFile(path, text)
  const running: Forwarder[] = []
  return {
    server,
    warnings,
    start: () => {
      const forwarder = new Forwarder({
        source: { container: 'shop-web-1', service: 'web', label: 'web-1', path },
        to: 'test',
        sink: server,
        encode: ({ text, whole }) => [Buffer.concat([text, Buffer.from(whole ? '' : '…')])],
        maxBytes: KEEP.maxBytes,
        warn: (warning) => warnings.push(warning),
      })
      running.push(forwarder)
      return forwarder
    },
    write: (...texts) =>
      raw(texts.map((text) => `2026-01-01T00:00:00Z stdout F ${text}\n`).join('')),
    raw,
    rotate: async () => {
      await fs.rename(`${path}.tmp`, path)
      await fs.appendFile(path, '')
      advanceLog(path, KEEP.maxFiles)
    },
    [Symbol.asyncDispose]: async () => {
      for (const forwarder of running) forwarder[Symbol.dispose]()
      await fs.rm(folder, { recursive: true })
    },
  }
}

const got = (server: Server, expected: readonly string[]) =>
  eventually(`lines ${expected.join(' ')}`, () => {
    assert.equal(server.got, expected)
    return true
  })

test('each line is sent once, over rotations and agents', async () => {
  await using one = await lab()
  await one.write('a', 'b')
  const first = one.start()
  await got(one.server, ['a', 'b'])
  await one.write('c')
  await one.rotate()
  await one.write('d')
  await got(one.server, ['a', 'b', 'c', 'd'])
  first[Symbol.dispose]()
  await one.write('e')
  await one.rotate()
  await one.write('f')
  one.start()
  await got(one.server, ['a', 'b', 'c', 'd', 'e', 'f'])
  assert.equal(one.warnings, [])
})

test('a server that is away gets everything when it is back, and is told of once', async () => {
  await using one = await lab()
  one.server.mode = 'refuses'
  await one.write('a')
  const forwarder = one.start()
  await eventually('three attempts', () => one.server.asked.length >= 3)
  await one.write('b')
  one.server.mode = 'takes'
  await got(one.server, ['a', 'b'])
  assert.equal(one.warnings, [
    'test: nobody there; lines of shop-web-1 wait in its log',
    'test: takes lines of shop-web-1 again',
  ])
  assert.is(await forwarder.finish(1000), true)
})

test('what is given up while a server is away is sent by the next agent', async () => {
  await using one = await lab()
  one.server.mode = 'refuses'
  await one.write('a')
  const forwarder = one.start()
  await eventually('an attempt', () => one.server.asked.length > 1)
  assert.is(await forwarder.finish(60_000), false)
  one.server.mode = 'takes'
  await one.write('b')
  one.start()
  await got(one.server, ['a', 'b'])
})

test('a server that takes nothing is asked for one chunk, and left at once', async () => {
  await using one = await lab()
  one.server.mode = 'stalls'
  await one.write(...Array.from({ length: 10_000 }, () => 'x'.repeat(50)))
  const forwarder = one.start()
  await eventually('an attempt', () => one.server.asked.length === 1)
  assert.ok((one.server.asked[0] ?? 0) < 1000)
  assert.is(await forwarder.finish(50), false)
  assert.is(one.server.asked.length, 1)
})

test('what went before it was sent is said where it is missing', async () => {
  await using one = await lab()
  one.start()
  await one.write('a')
  await got(one.server, ['a'])
  one.server.mode = 'stalls'
  await one.write('b')
  await eventually('an attempt', () => one.server.asked.length === 2)
  for (const line of ['c', 'd', 'e']) {
    await one.rotate()
    await one.write(line)
  }
  one.server[Symbol.dispose]()
  one.server.mode = 'takes'
  one.start()
  const lost =
    'lines of shop-web-1 are lost: 2 full files of up to 1048576 bytes went before they could be sent'
  await got(one.server, ['a', `pak: ${lost}`, 'd', 'e'])
  assert.equal(one.warnings, [`test: ${lost}`])
})

test('a line that comes in parts is one, but not for ever', async () => {
  await using one = await lab()
  one.start()
  await one.raw('2026-01-01T00:00:00Z stdout P he\n2026-01-01T00:00:00Z stderr F oh\n')
  await one.raw('2026-01-01T00:00:00Z stdout F llo\n2026-01-01T00:00:00Z stdout P ? \n')
  await got(one.server, ['oh', 'hello', '? …'])
})

test.run()
