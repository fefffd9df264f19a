// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times

import { createSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { installed, testUnless } from '../support/skip.ts'
import { datagramsAt } from '../telemetry/forward/datagrams.ts'
import { freePort, lacking, runs, stage } from './stage.ts'

const lacksPerl = lacking ?? (installed('perl') ? null : 'not installed: perl')
const COUNT = 3000

interface TcpServer extends AsyncDisposable {
  /** Messages, by RFC 6587's length before each. */
  readonly got: readonly string[]
}

function listen(port: number): Promise<TcpServer> {
  const sockets = new Set<Socket>()
  const got: string[] = []
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    let data = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, chunk])
      for (;;) {
        const [head, length] = /^(\d+) /.exec(data.toString('latin1', 0, 12)) ?? []
        if (head === undefined || data.length < head.length + Number(length)) return
        got.push(data.toString('utf8', head.length, head.length + Number(length)))
        data = data.subarray(head.length + Number(length))
      }
    })
  })
  return new Promise((resolve) =>
    server.listen(port, '127.0.0.1', () =>
      resolve({
        got,
        [Symbol.asyncDispose]: async () => {
          for (const socket of sockets) socket.destroy()
          await new Promise((done) => server.close(done))
        },
      }),
    ),
  )
}

const texts = (messages: readonly string[]) =>
  messages.map((message) => message.split(' - - - ')[1] ?? message)
const counted = Array.from({ length: COUNT }, (_, index) => `line ${index + 1}`)

testUnless(
  test,
  lacking,
  'a server that comes late, and an agent that is stopped, lose no line',
  async () => {
    await using pak = await stage()
    const port = await freePort()
    const script = `i=0; while [ $$i -lt ${COUNT} ]; do i=$$((i+1)); echo line $$i; done; exec sleep 100000`
    const options = `{ syslog-address: "tcp://127.0.0.1:${port}", syslog-facility: local3, tag: "shop/{{.Name}}" }`
    await pak.write(
      'pak.yaml',
      `name: paktsys\ncontainers:\n  web:\n    ${runs(script)}\n    network_mode: none\n    logging: { driver: syslog, options: ${options} }\n`,
    )
    await pak.ok(['up', '-d'])
    // Nobody listens, and nobody in the container notices.
    await eventually('all lines in the log', async () =>
      (await pak.ok(['logs', '--no-log-prefix'])).includes(`line ${COUNT}\n`),
    )
    {
      await using server = await listen(port)
      await eventually('all lines', () => server.got.length >= COUNT)
      assert.equal(texts(server.got), counted)
      assert.match(
        server.got[0] ?? '',
        /^<158>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) \S+ shop\/paktsys-web-1 - - - line 1$/,
      )
      assert.is(JSON.parse(await pak.ok(['plan', '--format', 'json'])).steps.length, 0)
      // Where it has got to is written down within a second.
      await pak.ok(['agent', 'stop'])
    }
    await using server = await listen(port)
    await pak.ok(['ps'])
    await pak.ok(['agent', 'start'])
    await pak.ok(['exec', 'web', 'sh', '-c', 'printf "caf\\303\\251 \\033[2J\\n" >/proc/1/fd/2'])
    await eventually('the line after it', () => server.got.length > 0)
    assert.equal(texts(server.got), ['café \\x1b[2J'])
    assert.match(server.got[0] ?? '', /^<155>1 /)
  },
)

/** Long enough that lines of before and of after the agent's end are many. */
const PACED = 900
/** What came by the second before a crash may come once more: where sending has got to is written down once a second. */
const MOST_REPEATED = 500

testUnless(test, lacking, 'an agent that is killed amid sending loses no line', async () => {
  await using pak = await stage()
  const port = await freePort()
  await using server = await listen(port)
  const script = `i=0; while [ $$i -lt ${PACED} ]; do i=$$((i+1)); echo line $$i; sleep 0.01; done; exec sleep 100000`
  await pak.write(
    'pak.yaml',
    `name: paktsys\ncontainers:\n  web:\n    ${runs(script)}\n    network_mode: none\n    logging: { driver: syslog, options: { syslog-address: "tcp://127.0.0.1:${port}" } }\n`,
  )
  await pak.ok(['up', '-d'])
  const all = Array.from({ length: PACED }, (_, index) => `line ${index + 1}`)
  for (const share of [0.2, 0.5]) {
    await eventually('lines on their way', () => server.got.length > share * PACED)
    const { pid } = await pak.json<{ readonly pid: number }>(['agent', 'status'])
    process.kill(pid, 'SIGKILL')
  }
  const last = all.at(-1) ?? ''
  await eventually('the last line', () => texts(server.got).includes(last), { withinMs: 30_000 })
  const got = texts(server.got)
  const lost = all.filter((line) => !got.includes(line))
  assert.equal(lost, [])
  assert.ok(got.length - all.length < MOST_REPEATED, `${got.length - all.length} came again`)
  // Each starts again where it had got to, and goes on in order.
  const first = got.filter((line, index) => got.indexOf(line) === index)
  assert.equal(first, all)
})

testUnless(
  test,
  lacksPerl,
  'to a datagram socket as programs of this machine do, and by UDP',
  async () => {
    await using pak = await stage()
    const path = join(pak.folder, 'devlog')
    await using local = await datagramsAt(path)
    const udp = createSocket('udp4')
    const got: Buffer[] = []
    udp.on('message', (message) => got.push(message))
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
    const says = runs('echo hello; head -c 5000 /dev/zero | tr "\\\\0" x; echo; exec sleep 100000')
    const one = (name: string, address: string) =>
      `  ${name}:\n    ${says}\n    network_mode: none\n    logging: { driver: syslog, options: { syslog-address: "${address}" } }\n`
    await pak.write(
      'pak.yaml',
      `name: paktsys\ncontainers:\n${one('near', `unix://${path}`)}${one('far', `udp://127.0.0.1:${udp.address().port}`)}`,
    )
    await pak.ok(['up', '-d'])
    await eventually('both by UDP', () => got.length === 4)
    assert.match(String(got[0]), /^<30>1 \S+ \S+ paktsys-far-1 - - - hello$/)
    const long = got.slice(1).map((message) => String(message).split(' - - - ')[1])
    assert.is(long.join(''), 'x'.repeat(5000))
    assert.ok(got.every(({ length }) => length <= 2048))
    await eventually('both here', () => local.got.length === 2)
    assert.match(
      String(local.got[0]),
      /^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d paktsys-near-1: hello$/,
    )
    // The last words of a container that goes are sent before its log goes.
    await pak.ok(['exec', 'near', 'sh', '-c', 'echo goodbye >/proc/1/fd/1'])
    await pak.ok(['down'])
    assert.match(String(local.got.at(-1)), /goodbye$/)
    udp.close()
  },
)

testUnless(test, lacking, 'journald is refused where there is none', async () => {
  await using pak = await stage()
  await pak.write(
    'pak.yaml',
    `name: paktsys\ncontainers:\n  web:\n    ${runs('exec sleep 100000')}\n    logging: { driver: journald }\n`,
  )
  const { exitCode, stderr } = await pak.run(['up', '-d'])
  assert.is(exitCode, 1)
  assert.match(stderr, 'no journald runs here, `/run/systemd/journal/socket` is no socket')
  assert.equal(await pak.json(['ps', '-a']), [])
})

test.run()
