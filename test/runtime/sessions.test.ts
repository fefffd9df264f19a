import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sessionsOf } from '../../src/runtime/sessions.ts'

const process = (pid: number, parentPid: number, startTicks = String(pid)) => ({
  pid,
  parentPid,
  startTicks,
})

test('who does not descend from the first process came with the topmost of its parents', () => {
  const members = [process(10, 1), process(11, 10), process(20, 5), process(21, 20), process(30, 5)]
  assert.equal(
    [...sessionsOf(members, 10, [])],
    [
      [20, 20],
      [21, 20],
      [30, 30],
    ],
  )
  const ring = [process(30, 31), process(31, 30)]
  assert.equal([...sessionsOf(ring, 10, []).keys()], [30, 31])
})

test('a cgroup tells whom the container’s first process has adopted since', () => {
  const members = [
    process(10, 1),
    process(11, 10),
    process(20, 10),
    process(21, 10),
    process(40, 5),
  ]
  const groups = [new Set([20, 21, 99]), new Set<number>()]
  assert.equal(
    [...sessionsOf(members, 10, groups)],
    [
      [20, 20],
      [21, 20],
      [40, 40],
    ],
  )
})

test('the oldest names a session, not the smallest pid: pids come round again', () => {
  const members = [process(10, 1, '5'), process(3000, 10, '999'), process(20, 10, '1000')]
  const sessions = sessionsOf(members, 10, [new Set([20, 3000])])
  assert.equal([sessions.get(20), sessions.get(3000)], [3000, 3000])
})

test.run()
