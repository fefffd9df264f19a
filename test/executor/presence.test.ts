import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostAddresses } from '../../src/executor/linux/presence.ts'
import type { CniRecord, NetworkRecord } from '../../src/executor/linux/records.ts'
import { isOutOfReach } from '../../src/executor/linux/resolvers.ts'
import type { Network } from '../../src/model/desired.ts'
import { PLAIN } from '../support/spec.ts'

const record = (name: string, driver: Network['driver'], gateway: string): NetworkRecord => ({
  spec: { name, driver, internal: false, subnet: null, gateway: null, labels: {} },
  ...{ subnet: '', gateway, bridge: '', leases: {} },
})
const NETWORKS = new Map([
  ['back', record('back', 'bridge', '10.1.0.1')],
  ['lan', record('lan', 'ipvlan', '192.0.2.1')],
  ['plug', record('plug', 'cni', '')],
])

const container = (names: readonly string[], door: CniRecord['door'] = null) => ({
  spec: {
    ...PLAIN,
    networkMode: { kind: 'bridge' as const },
    networks: names.map((network) => ({ network, aliases: [], ipv4: null })),
  },
  cni: { plug: { ifname: 'eth0', capabilities: {}, result: null, whole: true, door } },
})

test('where this host is on networks of a container, and who needs a name server within', () => {
  const door = { device: 'cni0', address: '10.22.0.1' }
  for (const [one, addresses, within] of [
    [container(['lan', 'back']), ['10.1.0.1'], false],
    [container(['lan']), [], true],
    [container(['plug']), [], false],
    [container(['plug'], door), ['10.22.0.1'], false],
    [container(['lan', 'plug']), [], true],
    [container(['lan', 'plug'], door), ['10.22.0.1'], false],
    [container(['plug', 'back'], door), ['10.22.0.1', '10.1.0.1'], false],
  ] as const) {
    assert.equal([...hostAddresses(one, NETWORKS).values()], addresses)
    assert.is(isOutOfReach(one, NETWORKS), within)
  }
})

test.run()
