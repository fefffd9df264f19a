// not in the emulated machine: nothing of it depends on the version of cgroups, and emulated packets take minutes
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeName, createBridges } from '../../../src/network/bridge.ts'
import { applyFirewall } from '../../../src/network/firewall.ts'
import { eventually, slowness } from '../../support/eventually.ts'
import { hostLacks, testUnless } from '../../support/skip.ts'
import { attach, cable, type Machine, machine } from '../lab.ts'

const PORT = 45_353
const network = (index: number, internal: boolean) => ({
  name: `n${index}`,
  bridge: bridgeName(`pakt/dns${index}`),
  subnet: `10.210.${index}.0/24`,
  gateway: `10.210.${index}.1`,
  internal,
})
const FRONT = network(1, false)
const CLOSED = network(3, true)

const ASK = `
const { Resolver } = require('dns').promises
const [server, name] = process.argv.slice(1)
const resolver = new Resolver({ timeout: ${400 * slowness}, tries: 1 })
resolver.setServers([server])
resolver.resolve4(name).then((found) => console.log(found.sort().join(' ')), (error) => console.log(error.code))`

/** Asks as fast as it can. */
const FLOOD = `
use Socket; socket(my $out, PF_INET, SOCK_DGRAM, 0); connect($out, pack_sockaddr_in(53, inet_aton($ARGV[0])));
my $ask = pack('n6 C/a* C n2', 1, 0x100, 1, 0, 0, 0, 'web', 0, 1, 1);
while (1) { send($out, $ask, 0) }
`

const resolve = (from: Machine, server: string, name: string): Promise<string> =>
  from.run(process.execPath, '-e', ASK, server, name)

testUnless(
  test,
  hostLacks('ip', 'nft', 'nsenter', 'unshare', 'perl'),
  'a container asks its gateway, others get nothing, on sockets that came as descriptors',
  async () => {
    await using host = await machine()
    await using outside = await machine()
    await using web = await machine()
    await using db = await machine()
    const up = { machine: host, name: 'up0', address: '203.0.113.1/24' }
    await cable(up, { machine: outside, name: 'eth0', address: '203.0.113.2/24' })
    const networks = [FRONT, CLOSED]
    await createBridges(
      host.kernel,
      networks.map(({ bridge, gateway }) => ({ name: bridge, gateway, prefix: 24 })),
    )
    const firewall = {
      table: 'pak_t',
      project: 'shop',
      dnsPort: PORT,
      published: [],
      services: [],
      lifts: false,
      others: [],
    }
    await applyFirewall(host.kernel, { ...firewall, networks })
    const { bridge, gateway } = FRONT
    await attach(host, web, [{ bridge, address: '10.210.1.2', gateway }])
    await attach(host, db, [{ bridge: CLOSED.bridge, address: '10.210.3.2', gateway: null }])
    const holder = join(import.meta.dirname, 'holder.ts')
    const child = host.start(process.execPath, '--import', 'tsx', holder, `${PORT}`)
    assert.ok(child.stdout)
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    try {
      await eventually('an answer', async () => (await resolve(web, gateway, 'web')) !== 'ETIMEOUT')
      assert.is(await resolve(web, gateway, 'web'), '10.210.1.2 10.210.1.3')
      assert.is(await resolve(web, gateway, 'db'), 'ESERVFAIL', 'of another network: asked outside')
      assert.is(await resolve(db, CLOSED.gateway, 'db'), '10.210.3.2')
      assert.is(await resolve(db, CLOSED.gateway, 'web'), 'ENOTFOUND')
      const flood = web.start('perl', '-e', FLOOD, gateway)
      try {
        // Other containers are answered as ever.
        const answers = []
        for (let n = 0; n < 10; n++) answers.push(await resolve(db, CLOSED.gateway, 'db'))
        assert.ok(answers.filter((each) => each === '10.210.3.2').length >= 7, answers.join(' '))
        assert.match(
          await host.run('nft', 'list', 'set', 'inet', 'pak_t', 'questions'),
          '10.210.1.2',
        )
      } finally {
        flood.kill('SIGKILL')
      }
      const silent = /ETIMEOUT|ECONNREFUSED/
      assert.match(await resolve(outside, `203.0.113.1:${PORT}`, 'web'), silent)
      assert.match(await resolve(host, `127.0.0.1:${PORT}`, 'web'), silent)
      // An unknown port of the firewall: the redirect is what makes port 53 answer.
      await applyFirewall(host.kernel, { ...firewall, networks, dnsPort: PORT + 1 })
      assert.match(await resolve(web, gateway, 'web'), silent)
    } finally {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
    }
  },
)

test.run()
