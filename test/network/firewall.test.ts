import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type FirewallNetwork,
  type FirewallRequest,
  firewallRemoval,
  firewallTransaction,
  type Publication,
  publisherOf,
} from '../../src/network/firewall.ts'
import { networkElements, publicationElement } from '../../src/network/firewall-elements.ts'
import { type FirewallFacts, firewallFacts, NO_TABLE } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'

const NONE = NO_TABLE
const NETWORK: FirewallNetwork = {
  name: 'back',
  bridge: 'pak0123456789',
  subnet: '10.77.1.0/24',
  gateway: '10.77.1.1',
  internal: false,
}
const PORT: Publication = {
  container: 'shop-web-1',
  address: '10.77.1.2',
  hostIp: '0.0.0.0',
  published: 8080,
  target: 80,
  protocol: 'tcp',
  affinity: 'none',
}
const REQUEST: FirewallRequest = {
  table: 'pak',
  project: 'shop',
  dnsPort: 5300,
  networks: [NETWORK],
  published: [PORT],
  services: [],
  lifts: false,
  others: [],
}
const elementsOf = ({ project, networks, published }: FirewallRequest) => [
  ...networks.flatMap((network) => networkElements(project, network)),
  ...published.map((port) => publicationElement(project, port)),
]
const holding = (...requests: FirewallRequest[]): FirewallFacts => ({
  ...NONE,
  present: true,
  dnsPort: 5300,
  elements: requests.flatMap(elementsOf),
})

test('the first project makes the base in the same transaction', () => {
  const text = firewallTransaction({ ...REQUEST, previous: NONE })
  assert.match(text, /^add table inet pak\ndelete table inet pak\ntable inet pak \{\n/)
  assert.match(text, 'redirect to :5300 comment "names: port 5300"')
  assert.match(text, '  tcp . 8080 comment "shop" : 10.77.1.2 . 80,')
  assert.match(text, '  10.77.1.0/24 comment "shop/back",')
})

test('nothing to change is no transaction', () => {
  assert.is(firewallTransaction({ ...REQUEST, previous: holding(REQUEST) }), '')
})

test('a change is the elements that differ, and nothing else', () => {
  const published = [{ ...PORT, target: 81 }]
  assert.is(
    firewallTransaction({ ...REQUEST, published, previous: holding(REQUEST) }),
    [
      'delete element inet pak published_any {',
      '  tcp . 8080,',
      '}',
      'add element inet pak published_any {',
      '  tcp . 8080 comment "shop" : 10.77.1.2 . 81,',
      '}',
      '',
    ].join('\n'),
  )
})

test('rules that are not whole are made anew with every project in them', () => {
  const other = {
    ...REQUEST,
    project: 'blog',
    published: [{ ...PORT, published: 9090 }],
    networks: [],
  }
  const text = firewallTransaction({ ...REQUEST, previous: { ...holding(other), dnsPort: null } })
  assert.match(text, 'delete table inet pak\n')
  assert.match(text, '  tcp . 9090 comment "blog" : 10.77.1.2 . 80,')
  assert.match(text, '  tcp . 8080 comment "shop" : 10.77.1.2 . 80,')
})

test('an element that nobody owns goes with the next transaction', () => {
  const previous = holding(REQUEST)
  const stray = { set: 'internal' as const, key: 'pakstray', value: null, comment: '' }
  const text = firewallTransaction({
    ...REQUEST,
    previous: { ...previous, elements: [...previous.elements, stray] },
  })
  assert.is(text, 'delete element inet pak internal {\n  "pakstray",\n}\n')
})

test('another project has the port, on the same or on a covering address', () => {
  const blog = { ...REQUEST, project: 'blog', networks: [] }
  const attempt = (theirs: string, mine: string) => () =>
    firewallTransaction({
      ...REQUEST,
      published: [{ ...PORT, hostIp: mine }],
      previous: holding({ ...blog, published: [{ ...PORT, hostIp: theirs }] }),
    })
  for (const [theirs, mine] of [
    ['0.0.0.0', '0.0.0.0'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '0.0.0.0'],
    ['127.0.0.1', '127.0.0.1'],
  ] as const)
    assert.throws(attempt(theirs, mine), /publish `.*:8080`: taken by project `blog`/)
  attempt('127.0.0.1', '192.0.2.2')()
  const facts = holding({ ...blog, published: [PORT] })
  assert.is(publisherOf(facts, { ...PORT, hostIp: '127.0.0.1' }, 'shop'), 'blog')
  assert.is(publisherOf(facts, { ...PORT, protocol: 'udp' }, 'shop'), null)
  assert.is(publisherOf(facts, { ...PORT, hostIp: '127.0.0.1' }, 'blog'), null)
})

test('the table goes with its last project', () => {
  const target = { table: 'pak', project: 'shop', others: [] }
  assert.is(firewallRemoval({ ...target, previous: holding(REQUEST) }), 'delete table inet pak\n')
  assert.is(firewallRemoval({ ...target, previous: NONE }), '')
  const blog = { ...REQUEST, project: 'blog', networks: [], published: [{ ...PORT, published: 1 }] }
  const text = firewallRemoval({ ...target, previous: holding(REQUEST, blog) })
  assert.not.match(text, 'delete table')
  assert.match(text, 'delete element inet pak published_any {\n  tcp . 8080,\n}')
  assert.is(firewallRemoval({ ...target, project: 'none', previous: holding(REQUEST, blog) }), '')
})

test('a door that another project wants stays open when the one that opened it goes', () => {
  const network = { ...NETWORK, doors: [{ device: 'veth1', address: '10.89.0.1' }] }
  const doors = { ...REQUEST, networks: [network], published: [] }
  const heirs = networkElements('blog', { ...network, name: 'lan' })
  const target = { table: 'pak', project: 'shop', others: [] }
  const previous = holding(doors)
  assert.is(firewallRemoval({ ...target, previous }), 'delete table inet pak\n')
  for (const text of [
    firewallRemoval({ ...target, previous, heirs }),
    firewallTransaction({ ...doors, networks: [], previous, heirs }),
    firewallTransaction({ ...doors, networks: [], previous: { ...previous, dnsPort: 1 }, heirs }),
  ]) {
    assert.match(text, '"veth1" . 10.89.0.1 comment "blog/lan"')
    assert.not.match(text, 'comment "shop')
  }
})

test('no word becomes more than a word', () => {
  const evil = ['a"b', 'a\nflush ruleset', 'a b', '', '../x', 'a;b', '{', 'x'.repeat(64), 'ü']
  for (const name of evil) {
    const attempt = (change: Partial<FirewallRequest>) => () =>
      firewallTransaction({ ...REQUEST, ...change, previous: NONE })
    assert.throws(attempt({ project: name }), /refused/)
    assert.throws(attempt({ table: name }), /refused/)
    assert.throws(attempt({ networks: [{ ...NETWORK, name }] }), /refused/)
    assert.throws(attempt({ networks: [{ ...NETWORK, bridge: name }] }), /refused/)
    assert.throws(attempt({ networks: [{ ...NETWORK, subnet: name }] }))
    assert.throws(attempt({ published: [{ ...PORT, hostIp: name }] }))
  }
  for (const published of [0, 65_536, 1.5, Number.NaN])
    assert.throws(() =>
      firewallTransaction({ ...REQUEST, published: [{ ...PORT, published }], previous: NONE }),
    )
})

test('a network counts as known only when all of it is there', () => {
  const facts = holding(REQUEST)
  const expected = { project: 'shop', dnsPort: 5300, networks: [NETWORK] }
  assert.equal(projectFirewall(facts, expected), {
    networks: ['back'],
    published: [
      {
        address: '10.77.1.2',
        hostIp: '0.0.0.0',
        published: 8080,
        target: 80,
        protocol: 'tcp',
        affinity: 'none',
      },
    ],
    services: [],
  })
  for (const lost of facts.elements) {
    const elements = facts.elements.filter((element) => element !== lost)
    const seen = projectFirewall({ ...facts, elements }, expected)
    assert.is(seen.networks.length + seen.published.length, 1, lost.set)
  }
  const internal = { ...expected, networks: [{ ...NETWORK, internal: true }] }
  assert.equal(projectFirewall(facts, internal).networks, [])
  assert.equal(projectFirewall(facts, { ...expected, dnsPort: 1 }).published, [])
  assert.equal(projectFirewall(facts, { ...expected, networks: [] }).networks, ['back'])
})

test('an answer of another shape is read as nothing', () => {
  for (const answer of [[], [{}], [{ set: { name: 'bridges', elem: [{}] } }]])
    assert.is(firewallFacts(answer).dnsPort, null)
  assert.equal(firewallFacts(null), NONE)
})

test.run()
