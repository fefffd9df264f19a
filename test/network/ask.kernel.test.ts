import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import { askHttp } from '../../src/network/ask.ts'
import { hostLacks, testUnless } from '../support/skip.ts'

testUnless(
  test,
  hostLacks('openssl'),
  'https asks in TLS, and takes whatever certificate there is',
  async () => {
    await using pair = await selfSigned()
    const server = createServer(pair, (request, response) => {
      response.statusCode = request.url === '/healthz' ? 200 : 404
      response.end('sealed')
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const test = {
      kind: 'http',
      port,
      tls: true,
      method: 'GET',
      path: '/healthz',
      headers: {},
      statuses: [{ least: 200, most: 399 }],
    } as const
    const dial = async () => connect(port, '127.0.0.1')
    // As through another program, whose pipes are no socket.
    const piped = async () => {
      const socket = await dial()
      return Duplex.from({ readable: socket, writable: socket })
    }
    const signal = AbortSignal.timeout(10_000)
    try {
      for (const way of [dial, piped])
        assert.equal(await askHttp(way, test, signal), {
          exitCode: 0,
          output: `GET https://:${port}/healthz: 200 OK\nsealed`,
        })
      const plain = await askHttp(dial, { ...test, tls: false }, signal)
      assert.is(plain.exitCode, 1)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  },
)

async function selfSigned(): Promise<AsyncDisposable & { key: string; cert: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'pakt-ask-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const named = ['-subj', '/CN=elsewhere.test', '-days', '1', '-keyout', key, '-out', cert]
  const { exitCode, stderr } = await hostKernel.run('openssl', ['req', '-x509', ...made, ...named])
  assert.is(exitCode, 0, stderr)
  return {
    key: await readFile(key, 'utf8'),
    cert: await readFile(cert, 'utf8'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

test.run()
