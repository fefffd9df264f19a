import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStat, parseStatus } from '../../src/runtime/process-stat.ts'

const REST = '-1 4194560 1 2 3 4 150 25 0 0 20 0 3 0 98765 1000 50 18446744073709551615'

test('a process’s name may hold anything', () => {
  for (const name of ['sleep', 'a b', ') S 1 (', 'x\n1 (y) Z 1'])
    assert.equal(parseStat(`4242 (${name}) R 17 4242 4242 0 ${REST}\n`), {
      pid: 4242,
      name,
      state: 'R',
      parentPid: 17,
      threads: 3,
      startTicks: '98765',
      cpuUsageUsec: 1_750_000,
    })
  assert.is(parseStat(''), null)
  assert.is(parseStat('12 (cut'), null)
})

test('the innermost pid is the container’s', () => {
  const text =
    'Name:\tx\\nUid:\\t7\nUid:\t1000\t0\t0\t0\nNSpid:\t4242\t30\t3\nVmRSS:\t    2048 kB\n'
  assert.equal(parseStatus(text), { uid: 1000, innerPid: 3, residentBytes: 2_097_152 })
  const zombie = 'Name:\tx\nUid:\t0\t0\t0\t0\nNSpid:\t5\n'
  assert.equal(parseStatus(zombie), { uid: 0, innerPid: 5, residentBytes: 0 })
  assert.is(parseStatus('Name:\tx\n'), null)
})

test.run()
