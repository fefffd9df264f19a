import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestText } from '../../src/manifest/config.ts'
import { load, problemsOf } from './support.ts'

const file = (network: string, attachment = '{}', more = '') =>
  `containers: { web: { image: a, networks: { front: ${attachment} }${more} } }\nnetworks: { front: ${network} }`

test('ports that arrive at an internal network are warned of', async () => {
  const ports = ', ports: ["8080:80"]'
  const said = 'ports of `web` are reached from this machine only: network `front` is internal'
  assert.equal((await load(file('{ internal: true }', '{}', ports))).warnings, [said])
  assert.equal((await load(file('{ internal: true }'))).warnings, [])
  assert.equal((await load(file('{}', '{}', ports))).warnings, [])
})

test('what a network and a place on it may say', async () => {
  const { desired, normalized } = await load(
    file(
      `{ enable_ipv6: true, driver_opts: { com.docker.network.driver.mtu: 1400, bridge: br-shop, com.docker.network.bridge.enable_icc: "false" },
         ipam: { config: [{ subnet: "FD00:77:0::/64", gateway: "fd00:77::9" }, { subnet: 10.77.1.0/24, ip_range: 10.77.1.128/25, aux_addresses: { r: 10.77.1.130 } }] } }`,
      '{ ipv6_address: "fd00:0077::5", mac_address: 02-42-AC-11-00-05, interface_name: front0, gw_priority: 3 }',
      ', ports: ["[::]:8080:80", "0.0.0.0:8080:80", "[2001:DB8::0]:81:80/udp"]',
    ),
  )
  const [front] = desired.networks
  assert.equal(front, {
    name: 'front',
    driver: 'bridge',
    internal: false,
    subnet: '10.77.1.0/24',
    gateway: null,
    labels: {},
    ipv6: { subnet: 'fd00:77::/64', gateway: 'fd00:77::9' },
    ipRange: '10.77.1.128/25',
    auxAddresses: { r: '10.77.1.130' },
    mtu: 1400,
    bridge: 'br-shop',
    isolated: true,
  })
  const spec = desired.services[0]?.container
  assert.equal(spec?.networks, [
    {
      network: 'front',
      aliases: [],
      ipv4: null,
      ipv6: 'fd00:77::5',
      mac: '02:42:ac:11:00:05',
      interfaceName: 'front0',
      gwPriority: 3,
    },
  ])
  // What is published on every address is published on IPv6's, too.
  assert.equal(
    spec?.ports.map(({ hostIp, published }) => `${hostIp} ${published}`),
    ['0.0.0.0 8080', '2001:db8:: 81'],
  )
  const again = await load(manifestText(normalized()))
  assert.equal(again.desired, desired)
})

test('what a network and a place on it may not say', async () => {
  const six = '{ enable_ipv6: true, ipam: { config: [{ subnet: "fd00:77::/64" }] } }'
  for (const [text, said] of [
    [file('{ ipam: { config: [{ subnet: "fd00:77::/64" }] } }'), 'IPv6 is off'],
    [file('{ subnet: "fd00:77::/64" }'), 'stands under `ipam.config`'],
    [
      file('{ enable_ipv6: true, ipam: { config: [{ subnet: "fd00:77::1/64" }] } }'),
      'host bits set; say `fd00:77::/64`',
    ],
    [file('{ enable_ipv6: true, ipam: { config: [{ subnet: "fe80::/64" }] } }'), 'link-local'],
    [file('{ enable_ipv6: true, ipam: { config: [{ subnet: "ff05::/64" }] } }'), 'multicast'],
    [file('{ enable_ipv6: true, ipam: { config: [{ subnet: "fd00::/127" }] } }'), '8 to 120'],
    [
      file('{ ipam: { config: [{ subnet: 10.1.0.0/24 }, { subnet: 10.2.0.0/24 }] } }'),
      'one subnet of IPv4',
    ],
    [
      file('{ ipam: { config: [{ subnet: 10.1.0.0/24, ip_range: 10.2.0.0/25 }] } }'),
      'not within 10.1.0.0/24',
    ],
    [
      file('{ ipam: { config: [{ subnet: 10.1.0.0/24, aux_addresses: { a: 10.2.0.1 } }] } }'),
      'not in a `subnet`',
    ],
    [file('{ driver_opts: { mtu: 10 } }'), 'mtu must be 576-65535'],
    [file('{ enable_ipv6: true, driver_opts: { mtu: 1279 } }'), 'mtu must be 1280-65535'],
    ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/8', '255.255.255.0/24'].map(
      (subnet) => [file(`{ subnet: ${subnet} }`), 'has no addresses for hosts'] as const,
    ),
    [file('{ driver_opts: { bridge: all } }'), 'expected the name of an interface'],
    [file('{ driver_opts: { bridge: "a b; drop" } }'), 'the name of an interface'],
    [file('{ driver_opts: { colour: red } }'), 'unknown driver option colour'],
    [file('{}', '{ mac_address: "01:00:00:00:00:01" }'), 'expected a MAC address'],
    [file('{}', '{ mac_address: "02:50:0a:01:00:01" }'), 'one of those that pak makes'],
    [file('{ subnet: 10.1.0.0/30 }'), "a subnet's prefix is 8 to 29"],
    [
      file('{ subnet: 10.1.0.0/29 }', '{}', ', replicas: 6'),
      '10.1.0.0/29 has addresses for 5 of 6 containers',
    ],
    [
      file(
        '{ ipam: { config: [{ subnet: 10.1.0.0/24, ip_range: 10.1.0.8/31, aux_addresses: { a: 10.1.0.8, b: 10.1.0.9 } }] } }',
      ),
      '10.1.0.8/31 has addresses for 0 of 1 containers',
    ],
    [file('{}', '{ interface_name: lo }'), 'the name of an interface'],
    [file('{}', '{ gw_priority: high }'), 'gw_priority'],
    [file('{}', '{ ipv6_address: "fd00::5" }'), 'needs a network with a subnet of IPv6'],
    [file(six, '{ ipv6_address: "fd00:78::5" }'), "no host's address in fd00:77::/64"],
    [file(six, '{ ipv6_address: "fd00:77::1" }'), 'is the gateway'],
    [file(six, '{ ipv6_address: "fd00:77::5" }', ', replicas: 2'), '2 replicas cannot share'],
    [file('{}', '{}', ', ports: ["[::]:80:80"]'), 'has no IPv6'],
    [file(six, '{}', ', ports: ["[::1]:80:80"]'), 'Linux cannot forward from ::1'],
    [file(six, '{}', ', ports: ["::1:80:80"]'), 'in brackets'],
    [file(six, '{}', ', ports: ["[fe80::1]:80:80"]'), 'link-local'],
  ] as const) {
    const problems = (await problemsOf(text)).join('\n')
    assert.ok(problems.includes(said), `${text}\n${said}\n${problems}`)
  }
})

test('the network of a container of another project, not of this one', async () => {
  const text = (name: string) =>
    `containers: { a: { image: i }, b: { image: i, network_mode: "container:${name}" } }`
  const web = (name: string) => problemsOf(text(name))
  const { desired } = await load(text('blog-a-1'))
  assert.equal(desired.services[1]?.container.networkMode, {
    kind: 'container',
    container: 'blog-a-1',
  })
  assert.match((await web('shop-a-1')).join(), 'is a container of this project; say `service:a`')
  assert.match((await web('a b')).join(), 'expected a name')
})

test('the same name for two interfaces, the same fixed address for two services', async () => {
  const problems = await problemsOf(`
containers:
  a: { image: i, networks: { back: { interface_name: eth1 }, front: { ipv6_address: "fd00:77::5" } } }
  b: { image: i, networks: { front: { ipv6_address: "fd00:77::5" } } }
networks:
  back: {}
  front: { enable_ipv6: true, ipam: { config: [{ subnet: "fd00:77::/64" }] } }
`)
  assert.match(problems.join('\n'), 'the interface on network `back` is called `eth1`')
  assert.match(problems.join('\n'), 'service `a` has this address already')
})

test.run()
