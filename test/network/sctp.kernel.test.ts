import { spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import type { PortProtocol } from '../../src/model/desired.ts'
import { bridgeName, createBridges } from '../../src/network/bridge.ts'
import {
  applyFirewall,
  type FirewallNetwork,
  type FirewallRequest,
  removeFirewall,
} from '../../src/network/firewall.ts'
import { observeFirewall } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'
import { hasSctp, portHolders } from '../../src/network/ports.ts'
import { eventually, slowness } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { attach, cable, type Machine, machine } from './lab.ts'

const lacking = hostLacks('ip', 'nft', 'nsenter', 'unshare')

/** Node has no SCTP. */
const lacksSctp = (await hasSctp(hostKernel))
  ? spawnSync('python3', ['-c', 'import socket; socket.socket(2, 1, 132)']).status === 0
    ? null
    : 'python3 opens no socket of SCTP here'
  : 'this kernel has no SCTP'

const SERVE = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.bind((sys.argv[2], int(sys.argv[3])))
s.listen(8)
print('ready', flush=True)
while True:
    c, peer = s.accept()
    c.send((sys.argv[1] + ' ' + peer[0]).encode())
    c.close()`

const ASK = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.settimeout(float(sys.argv[3]))
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print(s.recv(100).decode())
except OSError:
    pass`

const serve = (at: Machine, name: string, address: string, port: number) => {
  const child = at.start('python3', '-c', SERVE, name, address, `${port}`)
  return new Promise((resolve) => child.stdout?.once('data', resolve))
}

const ask = (from: Machine, address: string, port: number): Promise<string> =>
  from.run('python3', '-c', ASK, address, `${port}`, `${slowness}`)

const NETWORK: FirewallNetwork = {
  name: 'n1',
  bridge: bridgeName('pakt/sctp'),
  subnet: '10.210.1.0/24',
  gateway: '10.210.1.1',
  internal: false,
}

const request = (
  targets: readonly string[],
  protocols: readonly PortProtocol[] = ['sctp'],
): FirewallRequest => ({
  ...{ table: 'pak_t', project: 'shop', dnsPort: 5353, services: [], lifts: false, others: [] },
  networks: [NETWORK],
  published: targets.flatMap((address) =>
    protocols.map((protocol) => ({
      ...{ hostIp: '0.0.0.0', published: 8080, target: 80, address, container: 'web', protocol },
      affinity: 'none' as const,
    })),
  ),
})

testUnless(
  test,
  lacking,
  'a port of SCTP is written, read back as it was, and beside the same port of TCP',
  async () => {
    await using host = await machine()
    for (const targets of [['10.210.1.2'], ['10.210.1.2', '10.210.1.3']]) {
      const wanted = request(targets, ['sctp', 'tcp'])
      await applyFirewall(host.kernel, wanted)
      const seen = projectFirewall(
        await observeFirewall(host.kernel, 'pak_t', { lifts: false, policies: null }),
        { project: 'shop', dnsPort: 5353, networks: [NETWORK] },
      )
      const text = ({ protocol, address, published }: (typeof seen.published)[number]) =>
        `${published}/${protocol} ${address}`
      assert.equal(seen.published.map(text).sort(), wanted.published.map(text).sort())
    }
    await removeFirewall(host.kernel, request([]))
  },
)

testUnless(
  test,
  lacking ?? lacksSctp,
  'an association comes by a published port of SCTP, from outside and from this host',
  async () => {
    await using host = await machine()
    await using outside = await machine()
    await using web = await machine()
    await cable(
      { machine: host, name: 'up0', address: '203.0.113.1/24' },
      { machine: outside, name: 'eth0', address: '203.0.113.2/24' },
    )
    const { bridge, gateway } = NETWORK
    await createBridges(host.kernel, [{ name: bridge, gateway, prefix: 24 }])
    await applyFirewall(host.kernel, request(['10.210.1.2']))
    await attach(host, web, [{ bridge, address: '10.210.1.2', gateway }])
    await serve(web, 'web', '10.210.1.2', 80)
    await eventually('from outside', async () => {
      return (await ask(outside, '203.0.113.1', 8080)) === 'web 203.0.113.2'
    })
    assert.is(await ask(host, '127.0.0.1', 8080), `web ${gateway}`)
    assert.is(await ask(outside, '203.0.113.1', 80), '')
    // Who listens here is found, as with the other protocols.
    const asked = { protocol: 'sctp', hostIp: '0.0.0.0', port: 9000 } as const
    assert.equal(await portHolders(host.kernel, [asked]), [null])
    await serve(host, 'host', '203.0.113.1', 9000)
    const [holder] = await portHolders(host.kernel, [asked])
    assert.ok(holder)
  },
)

test.run()
