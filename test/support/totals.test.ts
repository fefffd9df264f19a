import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closingLine, judge, parseClosingLine, repeatedFailures } from './totals.ts'

const SOURCE = "import { test } from 'uvu'\ntest('a', () => {})\ntest.run()\n"
const ending = (total: number, passed: number, skipped: number) =>
  `• • \n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1ms\n\n`
const verdict = (output: string, source = SOURCE, exitCode: number | null = 0) =>
  judge({ source, output, exitCode })

test('a file whose tests pass passes', () => {
  assert.equal(verdict(ending(2, 2, 1)), {
    totals: { passed: 2, failed: 0, skipped: 1 },
    problem: null,
  })
})

test('a failed test is counted as one', () => {
  assert.equal(verdict(ending(3, 2, 0), SOURCE, 1).totals, { passed: 2, failed: 1, skipped: 0 })
})

test('colours do not hide the totals', () => {
  assert.is(verdict(ending(2, 2, 0).replace('Passed', '\u001b[32mPassed')).problem !== null, false)
})

test('no totals is a failure', () => {
  assert.is(verdict('').totals.failed, 1)
})

test('a suite whose `before` throws is a failure, whatever the exit status', () => {
  assert.is(verdict(ending(2, 0, 0)).totals.failed, 2)
})

test('a file that registers nothing is a failure', () => {
  assert.match(verdict(ending(0, 0, 0)).problem ?? '', 'no test')
})

test('a forgotten run() is a failure, of the one test list and of a named suite', () => {
  assert.match(verdict(ending(1, 1, 0), SOURCE.replace('test.run()', '')).problem ?? '', 'test.run')
  const second = `${SOURCE}const names = suite('names')\nnames('b', () => {})\n`
  assert.match(verdict(ending(1, 1, 0), second).problem ?? '', 'names.run')
})

test('`only` is a failure', () => {
  const source = SOURCE.replace("test('a'", "test.only('a'")
  assert.match(verdict(ending(1, 1, 4), source).problem ?? '', 'only')
})

test('time that is up and an exit status without a failed test are failures', () => {
  assert.is(verdict(ending(1, 1, 0), SOURCE, null).totals.failed, 1)
  assert.is(verdict(ending(1, 1, 0), SOURCE, 7).totals.failed, 1)
})

test('the closing line is read back, the last one counts', () => {
  const totals = { passed: 12, failed: 1, skipped: 3 }
  assert.equal(parseClosingLine(`1 passed, 0 failed, 0 skipped\n${closingLine(totals)}\n`), totals)
  assert.is(parseClosingLine('ok'), null)
})

test('what failed inside another runner is found where it says it once more', () => {
  const inline = 'FAIL a.test.ts  1 passed, 1 failed, 0 skipped  2.0 s\n     FAIL  "x"\n     at x\n'
  const repeated = 'FAIL a.test.ts\n     FAIL  "x"\n     at x'
  const output = `ok   b.test.ts\n${inline}${repeated}\n1 passed, 1 failed, 0 skipped\n`
  assert.is(repeatedFailures(output).join('\n'), repeated)
  assert.equal(repeatedFailures('ok   b.test.ts\n1 passed, 0 failed, 0 skipped\n'), [])
  assert.equal(repeatedFailures('no closing line'), [])
})

test.run()
