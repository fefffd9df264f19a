import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRate } from '../../src/manifest/bandwidth.ts'
import { allowed, type PolicyModel } from '../../src/network/policy-model.ts'

test('a rate is in bits a second, as tc has it', () => {
  assert.is(parseRate('500kbit'), 500_000)
  assert.is(parseRate('2.5Gbit'), 2_500_000_000)
  for (const text of ['10', '10mb', '1kbit', '-1mbit', '500gbit', 'mbit'])
    assert.throws(() => parseRate(text), /rate/, text)
})

test('who is denied is denied, then who is allowed passes, then the default decides', () => {
  const web = { kind: 'service', service: 'web' } as const
  const tcp = { protocol: 'tcp', first: 80, last: 90 } as const
  const inner = { kind: 'cidr', cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } as const
  const ingress = {
    otherwise: 'deny',
    allow: [{ peers: [web, inner], ports: [tcp] }],
    deny: [{ peers: [{ kind: 'network', network: 'back' }], ports: [] }],
  } as const
  const model: PolicyModel = {
    rules: [{ service: 'db', policies: { ingress } }],
    networks: new Map([['back', ['10.9.0.0/16']]]),
  }
  const asks = (service: string | null, address: string, port = 80, protocol = 'tcp' as const) =>
    allowed(model, {
      from: { service, address },
      to: { service: 'db', address: '10.0.0.2' },
      port,
      protocol,
    })
  assert.ok(asks('web', '172.17.0.2'))
  assert.ok(asks('web', '172.17.0.2', 90))
  assert.not(asks('web', '172.17.0.2', 91))
  assert.not(asks('web', '10.9.0.2'), 'denied first')
  assert.ok(asks(null, '10.2.0.1'))
  assert.not(asks(null, '10.1.0.1'), 'excepted')
  assert.not(asks(null, 'fd00::1'))
})

test.run()
