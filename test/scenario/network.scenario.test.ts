// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { open, readdir } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { containers, freePort, lacking, pids, SERVES, SLEEPS, stage } from './stage.ts'

const ECHO = `const s = require('dgram').createSocket('udp4').bind(7)
s.on('message', (text, from) => s.send(text, from.port, from.address))`

const MANIFEST = (port: number, local: number, color = 'red') => `name: paktn
containers:
  a:
    ${SERVES}
    environment: { COLOR: ${color} }
    networks: { front: { aliases: [alfa] } }
    ports: ["${port}:80"]
  b:
    ${SERVES}
    networks: [front]
    ports: ["127.0.0.1:${local}:80"]
  c:
    ${SERVES}
    networks: [back]
  echo:
    rootfs: /
    stop_signal: SIGKILL
    command: ${JSON.stringify([process.execPath, '-e', ECHO])}
    networks: [front]
    ports: ["${port}:7/udp"]
networks:
  front:
  back: { internal: true }
`

testUnless(
  test,
  lacking,
  'by service, container, alias and address within a network, and in no way across two',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', MANIFEST(await freePort(), await freePort()))
    await pak.ok(['up', '-d'])
    const all = await containers(pak)
    const addressOfA = all['paktn-a-1']?.networks['front']?.ip ?? ''
    const addressOfC = all['paktn-c-1']?.networks['back']?.ip ?? ''
    for (const name of ['a', 'paktn-a-1', 'alfa', addressOfA])
      await eventually(`b fetches ${name}`, async () => {
        assert.match(await fetched(pak, 'b', name), 'paktn-a-1')
        return true
      })
    const gateway = (await pak.ok(['exec', 'b', 'ip', 'route', 'show', 'default'])).split(' ')[2]
    assert.ok(gateway)
    assert.match(await pak.ok(['exec', 'b', 'nslookup', 'host.pak.internal']), gateway)
    assert.match(await pak.ok(['exec', 'b', 'nslookup', '-type=srv', '_80._tcp.a']), 'paktn-a-1')
    assert.is(await fetched(pak, 'b', 'c'), '')
    assert.is(await fetched(pak, 'b', addressOfC), '')
    assert.is(await fetched(pak, 'c', addressOfA), '')
    assert.is(await fetched(pak, 'c', 'a'), '')
    // An internal network: no route out, and no name from outside.
    assert.not.match(await pak.ok(['exec', 'c', 'ip', 'route']), 'default')
    assert.match(await pak.ok(['exec', 'a', 'ip', 'route']), 'default')
    assert.is.not((await pak.run(['exec', 'c', 'nslookup', 'example.com'])).exitCode, 0)
  },
)

/**
 * What both say of each name: addresses, then names of addresses, then how a name that is none is refused.
 * `+ndots=1`: with the 0 of resolv.conf, dig tries no search domain at all.
 */
const ASKING = `
row() { kind=$1; name=$2; who=$3; shift 3; echo "$kind $name $who $("$@" | sort -u | tr '\\n' ' ')"; }
four() { getent ahostsv4 "$1" | cut -d ' ' -f 1; }
six() { getent ahostsv6 "$1" | cut -d ' ' -f 1 | grep -v '^::ffff:'; }
back() { getent hosts "$1" | tr -s ' ' | cut -d ' ' -f 2; }
asked() { dig +short +search +ndots=1 +tries=1 -q "$1" -t "$2"; }
named() { dig +short +tries=1 -x "$1" | sed 's/[.]$//'; }
for name in a v alfa paktn-a-1 host.pak.internal host nobody; do
  row A $name getent four $name; row A $name dig asked $name A
  row AAAA $name getent six $name; row AAAA $name dig asked $name AAAA
done
for address in $(asked a A) $(asked v A) $(asked v AAAA) $(asked a AAAA) $(asked host A) 198.51.100.7; do
  row PTR $address getent back $address; row PTR $address dig named $address
done
row STATUS nobody dig sh -c "dig nobody | grep -o 'status: [A-Z]*'"
`

testUnless(
  test,
  lacking ?? hostLacks('dig', 'getent'),
  'dig and getent hear the same: A, AAAA, PTR and names with a search domain',
  async () => {
    await using pak = await stage()
    await pak.write(
      'pak.yaml',
      `name: paktn
containers:
  a: { ${SERVES.replaceAll('\n    ', ', ')}, replicas: 2, endpoint_mode: dnsrr, networks: { in: { aliases: [alfa] } } }
  v: { ${SERVES.replaceAll('\n    ', ', ')}, replicas: 2, networks: [in] }
  asker:
    rootfs: /
    stop_signal: SIGKILL
    command: [sleep, "100000"]
    dns_search: [pak.internal]
    networks: [in]
networks:
  in: { internal: true, enable_ipv6: true }
`,
    )
    await pak.ok(['up', '-d'])
    const rows = (await pak.ok(['exec', '-T', 'asker', 'sh', '-c', ASKING])).trim().split('\n')
    const heard = (who: string) =>
      rows.flatMap((row) => (row.includes(` ${who} `) ? row.replace(` ${who} `, ' ').trim() : []))
    assert.match(rows.at(-1) ?? '', 'NXDOMAIN')
    assert.equal(heard('dig').slice(0, -1), heard('getent'))
    const count = (start: string) =>
      heard('getent')
        .find((row) => row.startsWith(`${start} `))
        ?.split(' ').length ?? 0
    assert.equal(
      ['A a', 'AAAA a', 'A v', 'AAAA v', 'A host', 'A nobody', 'AAAA nobody'].map(count),
      [4, 4, 3, 3, 3, 0, 0],
    )
    assert.is(
      heard('getent').filter((row) => row.startsWith('PTR ') && row.split(' ').length === 3).length,
      7,
    )
    const six =
      heard('getent')
        .find((row) => row.startsWith('AAAA v'))
        ?.split(' ')[2] ?? ''
    const fetches = `Promise.all([...Array(20)].map(async () => (await fetch('http://[${six}]/')).text()))`
    const program = `${fetches}.then((all) => console.log([...new Set(all.map((text) => text.trim()))].sort().join(' ')))`
    const answers = await pak.ok(['exec', '-T', 'asker', process.execPath, '-e', program])
    assert.is(answers.trim(), 'paktn-v-1 paktn-v-2')
    assert.match(await pak.ok(['plan']), 'nothing to do')
    const [inner] = JSON.parse(await pak.ok(['network', 'inspect', 'in']))
    execFileSync('ip', ['-6', 'address', 'del', `${six}/128`, 'dev', inner.bridge])
    await eventually('the address of the service is back', () =>
      execFileSync('ip', ['-6', 'address', 'show', 'dev', inner.bridge]).includes(six),
    )
    await pak.ok(['up', '-d', '--scale', 'v=1'])
    const alone = await pak.ok(['exec', '-T', 'asker', process.execPath, '-e', program])
    assert.is(alone.trim(), 'paktn-v-1')
  },
)

testUnless(
  test,
  lacking,
  'a published port answers on every address of the host, one on 127.0.0.1 only there',
  async () => {
    await using pak = await stage()
    const [port, local] = [await freePort(), await freePort()]
    await pak.write('pak.yaml', MANIFEST(port, local))
    await pak.ok(['up', '-d'])
    await eventually('the page', () => page('127.0.0.1', port))
    await eventually('the echo', async () => (await datagram('127.0.0.1', port)) === 'echo')
    assert.match(await page('127.0.0.1', local), 'paktn-b-1')
    const host = hostAddress()
    if (host === null) return
    assert.match(await page(host, port), 'paktn-a-1')
    const refused = await page(host, local).catch(() => null)
    assert.is(refused, null)
  },
)

testUnless(
  test,
  lacking,
  'no interface outlives its container, even if its network namespace does',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', `name: paktn\ncontainers:\n  a:\n    ${SLEEPS}\n    replicas: 2\n`)
    await pak.ok(['up', '-d'])
    const [{ bridge }] = JSON.parse(await pak.ok(['network', 'inspect', 'default']))
    // Other tests have links of their own meanwhile.
    const own = [bridge, ...(await readdir(`/sys/class/net/${bridge}/brif`))]
    assert.is(own.length, 3)
    // Held open, as by a socket that waits for a last answer.
    const held = Object.values(await pids(pak)).map((pid) => open(`/proc/${pid}/ns/net`))
    try {
      assert.is((await Promise.all(held)).length, 2)
      await pak.ok(['down'])
      const links = await readdir('/sys/class/net')
      assert.equal(
        own.filter((name) => links.includes(name)),
        [],
      )
    } finally {
      for (const handle of await Promise.all(held)) await handle.close()
    }
  },
)

testUnless(
  test,
  lacking,
  'who shares a network, with a service or a container of another project, has its address and its names',
  async () => {
    await using pak = await stage()
    await pak.write(
      'pak.yaml',
      `name: paktn
containers:
  a:
    ${SERVES}
    extra_hosts: { printer: 192.0.2.9 }
  lodger:
    ${SLEEPS}
    network_mode: service:a
`,
    )
    await pak.write(
      'guest.yaml',
      `name: paktg\ncontainers:\n  guest:\n    ${SLEEPS}\n    network_mode: container:paktn-a-1\n`,
    )
    const early = await pak.run(['up', '-d', '-f', 'guest.yaml'])
    assert.is.not(early.exitCode, 0)
    assert.match(early.stderr, 'share namespaces of `paktn-a-1`: it is not there')
    await pak.ok(['up', '-d'])
    await pak.ok(['up', '-d', '-f', 'guest.yaml'])
    const [own = ''] = (await pak.ok(['exec', 'a', 'hostname', '-i'])).split('\n')
    for (const guest of [
      ['exec', 'lodger'],
      ['exec', '-f', 'guest.yaml', 'guest'],
    ]) {
      assert.match(await pak.ok([...guest, 'ip', 'addr']), own)
      assert.match(await pak.ok([...guest, 'cat', '/etc/hosts']), 'printer')
      await eventually('the page, by name', async () =>
        /paktn-a-1/.test(await pak.ok([...guest, 'wget', '-qO', '-', 'http://a'])),
      )
    }
    // Nothing that has changed, and nothing to do.
    assert.is((await pak.run(['plan', '-f', 'guest.yaml'])).exitCode, 0)
    await pak.ok(['down', '-f', 'guest.yaml'])
  },
)

testUnless(
  test,
  lacking,
  'a recreated container keeps its address, and others find it by name again',
  async () => {
    await using pak = await stage()
    const [port, local] = [await freePort(), await freePort()]
    await pak.write('pak.yaml', MANIFEST(port, local))
    await pak.ok(['up', '-d'])
    const before = await containers(pak)
    await pak.write('pak.yaml', MANIFEST(port, local, 'blue'))
    await pak.ok(['up', '-d'])
    const after = await containers(pak)
    assert.is.not(after['paktn-a-1']?.pid, before['paktn-a-1']?.pid)
    assert.is(after['paktn-b-1']?.pid, before['paktn-b-1']?.pid)
    assert.equal(after['paktn-a-1']?.networks, before['paktn-a-1']?.networks)
    await eventually('b finds a', async () => (await fetched(pak, 'b', 'a')).includes('paktn-a-1'))
    await eventually('the port', async () => (await page('127.0.0.1', port)).includes('paktn-a-1'))
  },
)

/** With `nc`: a static busybox's `wget` needs the rootfs's own libraries for names. */
async function fetched(pak: PakSandbox, service: string, name: string): Promise<string> {
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 ${name} 80 2>/dev/null | tail -n 1`
  return (await pak.run(['exec', service, 'sh', '-c', script])).stdout.trim()
}

async function page(address: string, port: number): Promise<string> {
  const response = await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(2_000) })
  return response.text()
}

/** What a UDP port answers to `echo`; empty when nothing comes within half a second. */
async function datagram(address: string, port: number): Promise<string> {
  const socket = createSocket('udp4')
  try {
    socket.send('echo', port, address)
    const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(500) })
    return String(answer)
  } catch {
    return ''
  } finally {
    socket.close()
  }
}

/** An address of this machine that is neither loopback nor a bridge of pak's. */
function hostAddress(): string | null {
  const found = Object.entries(networkInterfaces())
    .filter(([name]) => !name.startsWith('pak'))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)
  return found?.address ?? null
}

test.run()
