/**
 * Questions a second that pak's name server answers on one core, asked over UDP from another process.
 * It asserts nothing.
 *
 *   taskset -c 0 node --import tsx test/bench/names.ts [seconds]
 */
import { spawn } from 'node:child_process'
import * as dgram from 'node:dgram'
import { once } from 'node:events'
import * as net from 'node:net'
import { forwarder } from '../../src/network/dns/forward.ts'
import { serveNames } from '../../src/network/dns/server.ts'

/** Keeps `window` questions under way and prints how many were answered. */
const ASK = `
const [port, seconds, kind] = process.argv.slice(1)
const sockets = Array.from({ length: 8 }, () => require('dgram').createSocket('udp4'))
const head = Buffer.from('000101000001000000000000', 'hex')
const labels = (name) => Buffer.concat([...name.split('.').flatMap((l) => [Buffer.from([l.length]), Buffer.from(l)]), Buffer.from([0])])
const question = Buffer.concat([head, labels(kind), Buffer.from([0, 1, 0, 1])])
let count = 0
for (const s of sockets) s.bind(0, '127.0.1.2', () => {
  const send = () => s.send(question, Number(port), '127.0.0.1')
  s.on('message', (d) => { if (d.readUInt16BE(6) > 0) count++; send() })
  for (let i = 0; i < 8; i++) send()
})
setTimeout(() => { console.log(count); process.exit() }, seconds * 1000)`

const seconds = Number(process.argv[2] ?? 3)
const containers = Array.from({ length: 200 }, (_, index) => ({
  name: `shop-web-${index}`,
  address: `127.0.1.${index + 2}`,
  names: [index < 4 ? 'web' : `s${index}`, `shop-web-${index}`],
  healthy: true,
  servers: [],
}))
const zone = {
  networks: [{ id: 'shop/front', internal: false, names: [], services: [], containers }],
}
const outside = dgram.createSocket('udp4').bind(0, '127.0.0.1')
await once(outside, 'listening')
outside.on('message', (bytes, from) => {
  const answer = Buffer.concat([bytes, Buffer.from('c00c000100010000003c0004c0000201', 'hex')])
  answer.writeUInt16BE(0x8180, 2)
  answer.writeUInt16BE(1, 6)
  outside.send(answer, from.port, from.address)
})
const udp = dgram.createSocket('udp4').bind(0, '0.0.0.0')
await once(udp, 'listening')
const stop = new AbortController()
serveNames(
  { udp, tcp: net.createServer() },
  {
    zone: () => zone,
    upstreams: async () => ['127.0.0.1'],
    forward: forwarder({ port: outside.address().port }),
    signal: stop.signal,
  },
)
for (const name of ['web', 's17', 'example.org']) {
  const before = process.cpuUsage()
  const asker = spawn(process.execPath, ['-e', ASK, `${udp.address().port}`, `${seconds}`, name])
  const [text] = await once(asker.stdout, 'data')
  const { user, system } = process.cpuUsage(before)
  const busy = (user + system) / 1e6
  const count = Number(String(text))
  console.log(
    `${name.padEnd(12)} ${Math.round(count / seconds)} a second, ${Math.round(count / busy)} for a second of CPU time`,
  )
}
stop.abort()
outside.close()
