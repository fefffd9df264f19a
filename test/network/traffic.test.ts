import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseTraffic } from '../../src/network/traffic.ts'

const HEAD = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

test('every interface but the loopback counts', () => {
  const text = `${HEAD}    lo:  999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0
  eth0:1000 9 0 0 0 0 0 0 200 9 0 0 0 0 0 0
eth1.5:  30   1 0 0 0 0 0 0 4 1 0 0 0 0 0 0
`
  assert.equal(parseTraffic(text), { rxBytes: 1030, txBytes: 204 })
})

test('a name with a colon in it, and lines that are none', () => {
  const text = `${HEAD}eth0:1: 5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\nlo\nx: 1 2\ny: ${'z '.repeat(16)}\n`
  assert.equal(parseTraffic(text), { rxBytes: 5, txBytes: 6 })
  assert.equal(parseTraffic(''), { rxBytes: 0, txBytes: 0 })
})

test.run()
