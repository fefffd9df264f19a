// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeName, createBridges } from '../../src/network/bridge.ts'
import { applyFirewall, removeFirewall } from '../../src/network/firewall.ts'
import { isClosed } from '../../src/network/firewall-others.ts'
import { observeOthers } from '../../src/network/firewall-others-observe.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { attach, cable, type Machine, machine } from './lab.ts'

const lacking = hostLacks('ip', 'nft', 'nsenter', 'unshare')
const FRONT = {
  name: 'front',
  bridge: bridgeName('pakt/others/front'),
  subnet: '10.212.1.0/24',
  gateway: '10.212.1.1',
  internal: false,
}
const REQUEST = {
  table: 'pak_t',
  project: 'shop',
  dnsPort: 5353,
  networks: [FRONT],
  services: [],
  lifts: false,
  published: [
    {
      container: 'web',
      address: '10.212.1.2',
      hostIp: '0.0.0.0',
      published: 8080,
      target: 80,
      protocol: 'tcp' as const,
      affinity: 'none' as const,
    },
  ],
}

/** What others have written into the host's firewall before pak came. */
const SETTINGS: Readonly<Record<string, string>> = {
  'as Docker makes it': `
table ip filter {
  chain DOCKER-USER { counter return; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    iifname "docker0" counter accept
  }
}`,
  'as ufw makes it': `
table ip filter {
  chain ufw-before-forward { ct state related,established counter accept; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump ufw-before-forward
  }
  chain INPUT {
    type filter hook input priority filter; policy drop;
    ct state related,established counter accept
  }
}`,
  'in a chain that all the rest goes to': `
table ip filter {
  chain LOGDROP { limit rate 1/minute counter log; counter drop; }
  chain ours { iifname "lo" accept; return; }
  chain FORWARD {
    type filter hook forward priority filter; policy accept;
    ct state related,established counter accept
    counter jump ours
    counter jump LOGDROP
  }
}`,
  'as somebody writes it by hand': `
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    counter log prefix "forward " drop
  }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iif lo accept
  }
}`,
}

interface Lab extends AsyncDisposable {
  readonly host: Machine
  readonly outside: Machine
  readonly web: Machine
}

async function lab(): Promise<Lab> {
  const all = await Promise.all([machine(), machine(), machine()])
  const [host, outside, web] = all
  await cable(
    { machine: host, name: 'up0', address: '203.0.113.1/24' },
    { machine: outside, name: 'eth0', address: '203.0.113.2/24' },
  )
  await createBridges(host.kernel, [{ name: FRONT.bridge, gateway: FRONT.gateway, prefix: 24 }])
  await attach(host, web, [{ ...FRONT, address: '10.212.1.2' }])
  await web.serve('web', 80)
  await outside.serve('outside', 9000)
  await host.serveUdp('names', REQUEST.dnsPort)
  return {
    host,
    outside,
    web,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))
    },
  }
}

const write = async (host: Machine, text: string): Promise<void> => {
  const { exitCode, stderr } = await host.kernel.run('nft', ['-f', '-'], { input: text })
  assert.is(exitCode, 0, stderr)
}

/** Outwards, a published port from outside, and a name. */
const reached = ({ host: _, outside, web }: Lab): Promise<readonly string[]> =>
  Promise.all([
    web.ask('203.0.113.2', 9000),
    outside.ask('203.0.113.1', 8080),
    web.askUdp('10.212.1.1', 53),
  ])
const ALL = ['outside 203.0.113.1', 'web 203.0.113.2', 'names 10.212.1.2']

for (const [how, text] of Object.entries(SETTINGS))
  testUnless(
    test,
    lacking,
    `with a policy drop ${how} all goes on, and all is taken back`,
    async () => {
      await using here = await lab()
      const { host } = here
      await write(host, text)
      const before = await host.run('nft', '-s', 'list', 'ruleset')
      const look = () => observeOthers(host.kernel)
      const closed = async () => (await look()).filter((chain) => isClosed(chain, REQUEST)).length
      await applyFirewall(host.kernel, { ...REQUEST, others: [] })
      assert.is(await closed(), text.includes('hook input') ? 2 : 1)
      assert.is((await reached(here))[0], '', 'an accept in another table overrules no drop')
      await applyFirewall(host.kernel, { ...REQUEST, others: await look() })
      assert.equal(await reached(here), ALL)
      assert.is(await closed(), 0)
      // Once is enough.
      const ruled = await host.run('nft', '-s', 'list', 'ruleset')
      await applyFirewall(host.kernel, { ...REQUEST, others: await look() })
      assert.is(await host.run('nft', '-s', 'list', 'ruleset'), ruled)
      // Their reload: everything of theirs is written anew.
      const [table = ''] = /table \w+ filter/.exec(text) ?? []
      await write(host, `delete ${table}\n${text}`)
      assert.ok((await closed()) > 0)
      await applyFirewall(host.kernel, { ...REQUEST, others: await look() })
      assert.equal(await reached(here), ALL)
      await removeFirewall(host.kernel, { ...REQUEST, others: await look() })
      assert.is(sorted(await host.run('nft', '-s', 'list', 'ruleset')), sorted(before))
    },
  )

const sorted = (text: string): string => text.split('\n').sort().join('\n')

testUnless(test, lacking, 'what an administrator drops before stays dropped', async () => {
  await using here = await lab()
  const { host, outside } = here
  await write(host, SETTINGS['as Docker makes it'] ?? '')
  await applyFirewall(host.kernel, { ...REQUEST, others: await observeOthers(host.kernel) })
  assert.is(await outside.ask('203.0.113.1', 8080), 'web 203.0.113.2')
  await host.run('nft', 'insert rule ip filter DOCKER-USER ip saddr 203.0.113.2 drop')
  assert.is(await outside.ask('203.0.113.1', 8080), '')
})

testUnless(test, lacking, 'with the rules that iptables-services come with', async () => {
  await using here = await lab()
  const { host } = here
  const rules = [
    '-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT',
    '-A FORWARD -j LOG',
    '-A FORWARD -j REJECT --reject-with icmp-host-prohibited',
  ]
  for (const rule of rules)
    if ((await host.kernel.run('iptables', rule.split(' '))).exitCode !== 0) return
  const before = await host.run('iptables', '-S')
  await applyFirewall(host.kernel, { ...REQUEST, others: await observeOthers(host.kernel) })
  assert.equal(await reached(here), ALL)
  await removeFirewall(host.kernel, { ...REQUEST, others: await observeOthers(host.kernel) })
  assert.is(await host.run('iptables', '-S'), before)
})

testUnless(
  test,
  lacking,
  'rules of iptables that were saved and restored are known again',
  async () => {
    await using host = await machine()
    const { exitCode } = await host.kernel.run('iptables', ['-P', 'FORWARD', 'DROP'])
    if (exitCode !== 0) return
    const apply = async () =>
      applyFirewall(host.kernel, { ...REQUEST, others: await observeOthers(host.kernel) })
    await apply()
    const before = await host.run('iptables', '-S', 'FORWARD')
    assert.match(before, '-A FORWARD -i pak+ ')
    const saved = await host.run('iptables-save')
    await host.kernel.run('iptables-restore', [], { input: `${saved}\n` })
    await apply()
    assert.is(await host.run('iptables', '-S', 'FORWARD'), before)
    await removeFirewall(host.kernel, { ...REQUEST, others: await observeOthers(host.kernel) })
    assert.is(await host.run('iptables', '-S', 'FORWARD'), '-P FORWARD DROP')
  },
)

testUnless(
  test,
  lacking,
  'an administrator filters published ports in a chain that pak leaves alone',
  async () => {
    await using here = await lab()
    const { host, outside } = here
    const apply = (change = {}) => applyFirewall(host.kernel, { ...REQUEST, others: [], ...change })
    await apply()
    await host.run(
      'nft',
      'add rule inet pak_t admin meta l4proto tcp ip saddr 203.0.113.2 ct original proto-dst 8080 drop',
    )
    assert.is(await outside.ask('203.0.113.1', 8080), '')
    assert.is(await host.ask('127.0.0.1', 8080), 'web 10.212.1.1', 'this host is no client')
    const rule = async () =>
      (await host.run('nft', 'list', 'chain', 'inet', 'pak_t', 'admin')).includes('8080')
    // Made anew as a whole: for another name server, and after damage.
    await apply({ dnsPort: 5354 })
    assert.ok(await rule())
    await host.run('nft', 'flush', 'chain', 'inet', 'pak_t', 'forward')
    await apply({ dnsPort: 5354 })
    assert.ok(await rule())
    assert.is(await outside.ask('203.0.113.1', 8080), '')
    // The last project goes: what is not pak's stays, and works again with the next one.
    await removeFirewall(host.kernel, { ...REQUEST, others: [] })
    assert.ok(await rule())
    await apply()
    assert.is(await outside.ask('203.0.113.1', 8080), '')
    await host.run('nft', 'flush', 'chain', 'inet', 'pak_t', 'admin')
    assert.is(await outside.ask('203.0.113.1', 8080), 'web 203.0.113.2')
    await removeFirewall(host.kernel, { ...REQUEST, others: [] })
    assert.is(await host.run('nft', 'list', 'ruleset'), '')
  },
)

test.run()
