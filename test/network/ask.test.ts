import { Duplex } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HttpTest } from '../../src/model/desired.ts'
import { askHttp, askTcp } from '../../src/network/ask.ts'

const TEST: HttpTest = {
  kind: 'http',
  port: 8080,
  tls: false,
  method: 'GET',
  path: '/healthz',
  headers: {},
  statuses: [{ least: 200, most: 399 }],
}

interface Other {
  /** All that was asked so far. */
  heard: string
  readonly stream: Duplex
}

/** The near end of a connection whose far end says these things when it is asked, and then again and again. */
function answering(say: (index: number) => string | null): Other {
  let index = 0
  const other: Other = {
    heard: '',
    stream: new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        other.heard += chunk.toString('utf8')
        done()
        if (other.heard.includes('\r\n\r\n')) setImmediate(more)
      },
    }),
  }
  const more = () => {
    if (other.stream.destroyed) return
    const text = say(index)
    index += 1
    other.stream.push(text)
    if (text !== null) setImmediate(more)
  }
  return other
}

const within = () => AbortSignal.timeout(5_000)

async function ask(other: Other, over: Partial<HttpTest> = {}, signal = within()) {
  return askHttp(async () => other.stream, { ...TEST, ...over }, signal)
}

const once = (text: string) => answering((index) => (index === 0 ? text : null))

test('the status is the answer, and the beginning of the body is kept', async () => {
  const other = once('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine')
  assert.equal(await ask(other), {
    exitCode: 0,
    output: 'GET http://:8080/healthz: 200 OK\nfine',
  })
  assert.match(other.heard, /^GET \/healthz HTTP\/1\.1\r\nHost: localhost:8080\r\n/)
  assert.ok(other.stream.destroyed)
  const sick = once(
    'HTTP/1.1 503 Not Now\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n',
  )
  assert.equal(await ask(sick), {
    exitCode: 1,
    output: 'GET http://:8080/healthz: 503 Not Now\nno',
  })
})

test('a redirect is an answer; other statuses may be declared', async () => {
  const redirect = () => once('HTTP/1.1 302 Found\r\nLocation: http://a.test/\r\n\r\n')
  assert.is((await ask(redirect())).exitCode, 0)
  assert.is((await ask(redirect(), { statuses: [{ least: 200, most: 299 }] })).exitCode, 1)
})

test('headers are sent, and Host may be another', async () => {
  const other = once('HTTP/1.1 204 No Content\r\n\r\n')
  await ask(other, { method: 'HEAD', headers: { host: 'shop.test', 'X-A': 'b' } })
  assert.match(other.heard, /^HEAD \/healthz HTTP\/1\.1\r\n/)
  assert.match(other.heard, /\r\nhost: shop\.test\r\n/)
  assert.match(other.heard, /\r\nX-A: b\r\n/)
  assert.not.match(other.heard, 'localhost')
})

test('whatever is sent back, the end is soon and the memory small', async () => {
  const endless = (first: string, rest: string) =>
    answering((index) => (index === 0 ? first : rest))
  const body = await ask(endless('HTTP/1.1 200 OK\r\n\r\n', 'x'.repeat(10_000)))
  assert.is(body.exitCode, 0)
  assert.ok(body.output.length < 5_000)
  const header = await ask(endless('HTTP/1.1 200 OK\r\n', `A: ${'b'.repeat(1_000)}\r\n`))
  assert.is(header.exitCode, 1)
  const interim = 'HTTP/1.1 103 Early Hints\r\n\r\n'
  assert.match((await ask(endless(interim, interim))).output, 'it only says that it goes on')
  const garbage = await ask(endless('\0\x01\x02', 'SSH-2.0-x\r\n'))
  assert.is(garbage.exitCode, 1)
  const nothing = await ask(answering(() => null))
  assert.is(nothing.exitCode, 1)
  const upgrade = 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'
  assert.match((await ask(once(upgrade))).output, 'changes the protocol')
})

test('a body that never comes does not hide the status', async () => {
  const other = answering((index) =>
    index === 0 ? 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n' : '',
  )
  assert.is((await ask(other)).exitCode, 0)
})

test('who never answers ends with the time, and who is not there is a failure', async () => {
  const silent = answering(() => '')
  const short = AbortSignal.timeout(20)
  const failed = await ask(silent, {}, short).catch((error: unknown) => error)
  assert.instance(failed, Error)
  const refused = async () => {
    throw new Error('connect ECONNREFUSED')
  }
  assert.equal(await askHttp(refused, TEST, within()), {
    exitCode: 1,
    output: 'GET http://:8080/healthz: connect ECONNREFUSED',
  })
  assert.is((await askTcp(refused, 1, within())).exitCode, 1)
  const other = answering(() => null)
  assert.equal(await askTcp(async () => other.stream, 5432, within()), {
    exitCode: 0,
    output: 'tcp :5432: connected',
  })
  assert.ok(other.stream.destroyed)
})

test.run()
