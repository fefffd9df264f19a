import { type Answer, decode, encode } from 'dns-packet'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answerCache } from '../../../src/network/dns/cache.ts'
import { readRecords } from '../../../src/network/dns/records.ts'

const said = (ttl: number, rcode = 0, authorities: Answer[] = []): Buffer =>
  encode({
    type: 'response',
    id: 1,
    flags: rcode,
    questions: [{ name: 'a.test', type: 'A' }],
    answers: rcode === 0 && ttl >= 0 ? [{ name: 'a.test', type: 'A', ttl, data: '192.0.2.1' }] : [],
    authorities,
  })
const soa = (ttl: number, minimum: number): Answer => ({
  name: 'test',
  type: 'SOA',
  ttl,
  data: { mname: 'ns.test', rname: 'x.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
})
const ttlOf = (message: Buffer | null): unknown => {
  const [record] = message === null ? [] : (decode(message).answers ?? [])
  return record !== undefined && 'ttl' in record ? record.ttl : null
}

test('kept as long as the least of its records, never past the bound, and told how long still', () => {
  const cache = answerCache()
  cache.put('a', said(10), 0)
  cache.put('b', said(1_000_000), 0)
  cache.put('c', said(0), 0)
  assert.equal([ttlOf(cache.get('a', 4_000)), cache.get('a', 10_000)], [6, null])
  assert.equal([ttlOf(cache.get('b', 299_000)), cache.get('b', 300_000)], [1, null])
  assert.is(cache.get('c', 0), null)
})

test('a no is kept by its SOA, for a short time; trouble is not', () => {
  const cache = answerCache()
  cache.put('no', said(-1, 3, [soa(5, 900)]), 0)
  cache.put('long', said(-1, 0, [soa(900, 900)]), 0)
  cache.put('bare', said(-1, 3), 0)
  cache.put('failed', said(9, 2, [soa(5, 5)]), 0)
  const there = (key: string, ms: number) => cache.get(key, ms) !== null
  assert.equal([there('no', 4_999), there('no', 5_000)], [true, false])
  assert.equal([there('long', 29_999), there('long', 30_000)], [true, false])
  assert.equal([there('bare', 0), there('failed', 0)], [false, false])
})

test('bounded: the oldest goes first, what is large or cut is not kept', () => {
  const cache = answerCache(3)
  for (const key of ['a', 'b', 'c', 'd']) cache.put(key, said(9), 0)
  assert.equal(
    ['a', 'b', 'c', 'd'].map((key) => cache.get(key, 0) !== null),
    [false, true, true, true],
  )
  const cut = said(9)
  cut[2] = (cut[2] ?? 0) | 2
  cache.put('cut', cut, 0)
  cache.put('large', Buffer.concat([said(9), Buffer.alloc(5_000)]), 0)
  assert.equal([cache.get('cut', 0), cache.get('large', 0)], [null, null])
})

test('pointers in a circle, forwards or past the end, and wrong lengths are no answer', () => {
  const whole = said(9)
  assert.is(readRecords(whole)?.length, 1)
  // Header, `a.test`, type and class.
  const head = whole.subarray(0, 12 + 8 + 4)
  const fixed = Buffer.from([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1])
  const pointing = (to: number) => Buffer.concat([head, Buffer.from([0xc0, to]), fixed])
  assert.is(readRecords(pointing(12))?.length, 1)
  for (const to of [0, head.length, head.length + 2, 255])
    assert.is(readRecords(pointing(to)), null)
  // A circle of two: the name leads to a pointer that leads to the name.
  const circle = Buffer.concat([head, Buffer.from([1, 97, 0xc0, head.length]), fixed])
  assert.is(readRecords(circle), null)
  assert.is(readRecords(whole.subarray(0, whole.length - 1)), null)
})

test('no bytes make the reader throw or run on', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(199), fc.nat(255), (bytes, at, byte) => {
      readRecords(Buffer.from(bytes))
      const changed = said(9, 0, [soa(1, 1)])
      changed[at % changed.length] = byte
      readRecords(changed)
      answerCache().put('x', changed, 0)
    }),
    { numRuns: 2_000 },
  )
})

test.run()
