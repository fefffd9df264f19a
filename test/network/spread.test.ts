import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  clientSlots,
  parseSpread,
  spreadOf,
  spreadRule,
} from '../../src/network/firewall-spread.ts'

const REQUEST = {
  place: ['tcp', '8080'],
  project: 'shop',
  protocol: 'tcp',
  affinity: 'none' as const,
  targets: [
    { address: '10.1.0.3', port: 80 },
    { address: '10.1.0.2', port: 80 },
  ],
}

test('one rule, the same for any order of the replicas', () => {
  const spread = spreadOf(REQUEST)
  assert.is(spread.chain, 'to_tcp_8080')
  assert.is(
    spreadRule(spread),
    'meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.0.2 . 80, 1 : 10.1.0.3 . 80 } comment "shop"',
  )
  assert.equal(spreadOf({ ...REQUEST, targets: [...REQUEST.targets].reverse() }), spread)
})

test('no word becomes more than a word', () => {
  for (const project of ['a"b', 'a\nflush ruleset', '', 'a b'])
    assert.throws(() => spreadOf({ ...REQUEST, project }), /refused/)
  for (const address of ['10.0.0.1; flush ruleset', '', '10.0.0.256'])
    assert.throws(() => spreadOf({ ...REQUEST, targets: [{ address, port: null }] }))
  for (const port of [0, 65_536, 1.5])
    assert.throws(() => spreadOf({ ...REQUEST, targets: [{ address: '10.0.0.1', port }] }))
})

test('clients: who leaves gives only its own slots away, and every replica has its share', () => {
  const names = Array.from({ length: 8 }, (_, index) => `10.1.0.${index + 2}`)
  const all = clientSlots(names)
  for (const name of names) {
    const share = all.filter((slot) => slot === name).length / all.length
    assert.ok(share > 0.7 / 8 && share < 1.3 / 8, `${name}: ${share}`)
  }
  const left = clientSlots(names.slice(1))
  for (const [slot, name] of all.entries()) if (name !== names[0]) assert.is(left[slot], name)
})

test('a chain of another content is nobody`s', () => {
  for (const rules of [
    [],
    [{}],
    [{ expr: [{ drop: null }] }],
    [{}, {}],
    [{ expr: [1, null, 'x'] }],
  ])
    assert.equal(parseSpread('to_x', rules).slots, [], JSON.stringify(rules))
})

test.run()
