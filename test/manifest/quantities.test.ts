import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseCpu, parseCpuset, parseDuration, parseSize } from '../../src/manifest/quantities.ts'
import { splitWords } from '../../src/manifest/words.ts'

test('words as a shell splits them', () => {
  assert.equal(splitWords('sh -c "echo \\"hi\\" $X" \'a b\'c d\\ e ""'), [
    'sh',
    '-c',
    'echo "hi" $X',
    'a bc',
    'd e',
    '',
  ])
  assert.equal(splitWords('  '), [])
  for (const text of ["'", '"', 'a\\', '"a\\"']) assert.throws(() => splitWords(text), text)
})

test('quoted words come back as they were', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      const text = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
      assert.equal(splitWords(text), words)
    }),
  )
})

test('durations, sizes and shares of a CPU', () => {
  assert.is(parseDuration('1m30s'), 90_000)
  assert.is(parseDuration('1h2m3s4ms'), 3_723_004)
  assert.is(parseDuration('1.5s'), 1500)
  assert.is(parseDuration('900us'), 1)
  for (const text of ['', '1', 's', '1m 30s', '-1s', '1000h', '1d'])
    assert.throws(() => parseDuration(text), undefined, text)
  assert.is(parseSize('64m'), 64 * 1024 * 1024)
  assert.is(parseSize('64MiB'), 64 * 1024 * 1024)
  assert.is(parseSize('1.5k'), 1536)
  assert.is(parseSize('12'), 12)
  for (const text of ['', 'm', '-1', '1e9', '1x', '9999999999p'])
    assert.throws(() => parseSize(text), undefined, text)
  assert.is(parseCpu('25%'), 250)
  assert.is(parseCpu('0.333'), 333)
  for (const text of ['', '%', '0', '0.001', '-1', 'x', '99999999'])
    assert.throws(() => parseCpu(text), undefined, text)
  assert.is(parseCpuset('4,2-3,0'), '0,2-4')
  for (const text of ['', 'a', '3-1', '1-', '0,,1'])
    assert.throws(() => parseCpuset(text), undefined, text)
})

test.run()
