import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Ground, pluginsReceiver, receiverOf } from '../../src/model/receiver.ts'

const GROUNDS: Readonly<Record<string, Ground>> = {
  back: { driver: 'bridge', internal: true },
  front: { driver: 'vxlan', internal: false },
  lan: { driver: 'macvlan', internal: false },
  plug: { driver: 'cni', internal: false },
}
const groundOf = (name: string) => GROUNDS[name]

const on = (...names: readonly string[]) => ({
  networkMode: { kind: 'bridge' as const },
  networks: names.map((network) => ({ network, aliases: [], ipv4: null })),
})

test('ports arrive by a bridge that leads out, else as plugins have it, else by one that does not, never by a LAN', () => {
  for (const [names, ports, plugins] of [
    [['back', 'front', 'lan', 'plug'], 'front', null],
    [['back', 'lan', 'plug'], 'plug', 'plug'],
    [['back', 'lan'], 'back', null],
    [['lan', 'plug'], 'plug', 'plug'],
    [['lan'], null, null],
    [['gone', 'lan'], 'gone', null],
    [[], null, null],
  ] as const) {
    assert.is(receiverOf(on(...names), groundOf), ports)
    assert.is(pluginsReceiver(on(...names), groundOf), plugins)
  }
})

test('a higher priority decides among networks of one kind only', () => {
  const networks = [
    ...on('back', 'front', 'plug').networks,
    { network: 'lan', aliases: [], ipv4: null, gwPriority: 9 },
    { network: 'away', aliases: [], ipv4: null, gwPriority: 1 },
  ]
  const all = { networkMode: { kind: 'bridge' as const }, networks }
  const away: Ground = { driver: 'bridge', internal: false }
  assert.is(
    receiverOf(all, (name) => (name === 'away' ? away : groundOf(name))),
    'away',
  )
  assert.is(receiverOf(all, groundOf), 'front')
})

test.run()
