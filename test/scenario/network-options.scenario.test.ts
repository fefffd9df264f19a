// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { testUnless } from '../support/skip.ts'
import { freePort, lacking, SERVES, SLEEPS, stage } from './stage.ts'

const BRIDGE = 'br-paktopt.1'

const MANIFEST = (port: number, bridge = BRIDGE) => `name: pakto
containers:
  a:
    ${SERVES}
    networks:
      apart: { mac_address: 02:42:AC:00:00:07, interface_name: apart0 }
      out: { gw_priority: 1, interface_name: out0 }
    ports: ["${port}:80"]
  b:
    ${SERVES}
    networks: [apart]
  c:
    ${SLEEPS}
    networks: [apart]
networks:
  apart:
    driver_opts: { mtu: 1400, bridge: ${bridge}, com.docker.network.bridge.enable_icc: "false" }
    ipam: { config: [{ subnet: 10.93.1.0/24, ip_range: 10.93.1.64/26, aux_addresses: { printer: 10.93.1.64 } }] }
  out:
`

testUnless(
  test,
  lacking,
  'what a network says of its bridge, addresses and neighbours is so in the kernel',
  async () => {
    await using pak = await stage()
    const port = await freePort()
    await pak.write('pak.yaml', MANIFEST(port))
    await pak.ok(['up', '-d'])
    const links = await pak.ok(['exec', 'a', 'ip', 'addr'])
    assert.match(
      links,
      /apart0@[^\n]* mtu 1400 [\s\S]*02:42:ac:00:00:07[\s\S]*inet 10\.93\.1\.6[5-7]\/24/,
    )
    assert.match(links, /out0@[^\n]* mtu 1500 /)
    assert.match(await pak.ok(['exec', 'a', 'ip', 'route']), /default via \S+ dev out0/)
    assert.match(await pak.ok(['exec', 'c', 'ip', 'route']), 'default via 10.93.1.1')
    const networks = await pak.json<{ name: string; bridge: string }[]>(['network', 'ls'])
    assert.is(networks.find(({ name }) => name === 'apart')?.bridge, BRIDGE)
    const fetched = async (from: string, url: string) =>
      (await pak.run(['exec', from, 'timeout', '2', 'wget', '-qO', '-', url])).stdout.trim()
    // Neighbours find each other's names, and reach only what is published.
    assert.match(await pak.ok(['exec', 'c', 'nslookup', 'b.']), '10.93.1.')
    await eventually(
      'the page',
      async () => (await fetched('c', `http://10.93.1.1:${port}`)) === 'pakto-a-1',
    )
    assert.is(await fetched('b', 'http://127.0.0.1'), 'pakto-b-1')
    assert.is(await fetched('c', 'http://b'), '')
    assert.is(await fetched('a', 'http://b'), '')
    assert.equal((await pak.json<{ steps: unknown[] }>(['plan'])).steps, [])
    await pak.write(
      'other.yaml',
      MANIFEST(await freePort())
        .replace('pakto', 'paktp')
        .replaceAll('10.93.1.', '10.93.2.'),
    )
    const { exitCode, stderr } = await pak.run(['up', '-d', '-f', 'other.yaml'])
    assert.is.not(exitCode, 0)
    assert.match(stderr, `make bridge \`${BRIDGE}\`: there is a link of that name`)
  },
)

test.run()
