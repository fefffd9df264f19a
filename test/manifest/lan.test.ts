import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toManifest } from '../../src/manifest/config.ts'
import { load, problemsOf } from './support.ts'

const file = (networks: string, web = 'networks: [lan]'): string =>
  `containers: { web: { image: a, ${web} } }\nnetworks: ${networks}`

const LAN = '{ lan: { driver: macvlan, subnet: 192.0.2.0/24, driver_opts: { parent: eth1 } } }'

test("a network on a LAN, in Docker's words", async () => {
  for (const [network, lan, internal] of [
    [
      '{ driver: macvlan, driver_opts: { parent: eth1 } }',
      { parent: 'eth1', mode: 'bridge' },
      false,
    ],
    [
      '{ driver: macvlan, internal: true, driver_opts: { parent: eth1.20, macvlan_mode: vepa } }',
      { parent: 'eth1.20', mode: 'vepa' },
      true,
    ],
    // What leads nowhere is internal, as with Docker.
    ['{ driver: macvlan }', { parent: null, mode: 'bridge' }, true],
    [
      '{ driver: ipvlan, driver_opts: [parent=eth1, ipvlan_mode=l3s, ipvlan_flag=private] }',
      { parent: 'eth1', mode: 'l3s', flag: 'private' },
      false,
    ],
  ] as const) {
    const { desired } = await load(file(`{ lan: ${network} }`))
    const [found] = desired.networks
    assert.equal([found?.lan, found?.internal], [lan, internal])
    const again = JSON.stringify(toManifest(desired))
    assert.equal((await load(again)).desired.networks, desired.networks)
  }
})

test('what a network on a LAN may not say', async () => {
  const macvlan = (rest: string) => `{ lan: { driver: macvlan, ${rest} } }`
  const ipvlan = (rest: string) => `{ lan: { driver: ipvlan, subnet: 192.0.2.0/24, ${rest} } }`
  for (const [networks, said] of [
    ['{ lan: { driver_opts: { parent: eth1 } } }', 'a bridge has no parent; it goes with'],
    [macvlan('driver_opts: { parent: "eth1 up" }'), 'expected the name of an interface'],
    [macvlan('driver_opts: { macvlan_mode: l2 }'), 'expected one of `bridge`, `private`'],
    [macvlan('driver_opts: { ipvlan_mode: l2 }'), 'a macvlan has no ipvlan_mode'],
    [ipvlan('driver_opts: { macvlan_mode: vepa }'), 'an ipvlan has no macvlan_mode'],
    [
      macvlan('driver_opts: { isolated: true }'),
      'a macvlan has no `isolated`; say `macvlan_mode: private`',
    ],
    [macvlan('driver_opts: { bridge: br0 }'), 'a macvlan has no bridge to name'],
    [macvlan('peers: { one: 192.0.2.1 }'), 'a macvlan has no `peers`'],
    [
      ipvlan('gateway: 192.0.2.1, driver_opts: { ipvlan_mode: l3 }'),
      'an ipvlan of mode l3 has no gateway',
    ],
    [
      '{ lan: { driver: macvlan, driver_opts: { parent: eth1 } }, other: { driver: ipvlan, driver_opts: { parent: eth1 } } }',
      'network `lan` has eth1 for `macvlan`',
    ],
    [
      '{ lan: { driver: ipvlan, driver_opts: { parent: eth1 } }, other: { driver: ipvlan, driver_opts: { parent: eth1, ipvlan_mode: l3 } } }',
      'all of its ipvlans have one mode',
    ],
  ] as const)
    assert.match((await problemsOf(file(networks))).join('\n'), said)
})

test('what a service cannot have on a LAN is said where it is asked for', async () => {
  for (const [web, at] of [
    ['networks: [lan], ports: ["8080:80"]', 'containers.web.ports: network `lan` is a macvlan'],
    [
      'networks: [lan], extra_hosts: ["me:host-gateway"]',
      'containers.web.extra_hosts: network `lan` is a macvlan, where this host is not',
    ],
    [
      'networks: [lan], policies: { ingress: { default: allow } }',
      'containers.web.policies: network `lan` is a macvlan',
    ],
    ['networks: [lan], endpoint_mode: vip', 'containers.web.endpoint_mode: network `lan`'],
    [
      'networks: [lan], bandwidth: { ingress: 10mbit }',
      'containers.web.bandwidth.ingress: network `lan`',
    ],
    [
      'networks: [default], policies: { ingress: { allow: [{ from: { network: lan } }] } }',
      'who is on it is not known here; name it by `cidr`',
    ],
  ] as const)
    assert.match((await problemsOf(file(LAN, web))).join('\n'), at)
  await load(
    file(LAN, 'networks: [lan, default], ports: ["8080:80"], bandwidth: { egress: 1mbit }'),
  )
  const mac = 'networks: { lan: { mac_address: "02:00:00:00:00:01" } }'
  const shared = LAN.replace('macvlan', 'ipvlan')
  assert.match(
    (await problemsOf(file(shared, mac))).join(),
    'networks.lan.mac_address: containers on network `lan` have the MAC of eth1',
  )
  const whole = LAN.replace('parent: eth1', 'parent: eth1, macvlan_mode: passthru')
  assert.match(
    (await problemsOf(file(whole, 'networks: [lan], replicas: 2'))).join(),
    'has room for one container, not 2',
  )
  assert.match(
    (
      await problemsOf(file(whole, 'networks: [lan], update_config: { order: start-first }'))
    ).join(),
    'has room for one container: with `start-first` a replica and its successor share it',
  )
})

test('plugins publish ports only where no LAN takes the answers', async () => {
  const cni = '{ cniVersion: 1.0.0, type: bridge, capabilities: { portMappings: true } }'
  const both = (lan: string) => file(`{ lan: ${lan}, plug: { driver: cni, cni: ${cni} } }`, ON_BOTH)
  assert.match(
    (await problemsOf(both('{ driver: macvlan, driver_opts: { parent: eth1 } }'))).join(),
    'web.ports: network `lan` is a macvlan, by which answers leave: the plugins of network `plug` cannot publish ports',
  )
  await load(both('{ driver: macvlan }'))
})

const ON_BOTH = 'networks: [lan, plug], ports: ["8080:80"]'

test.run()
