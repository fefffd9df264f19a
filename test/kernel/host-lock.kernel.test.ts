import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withHostLock } from '../../src/kernel/host-lock.ts'

test('one after the other, also after one that fails', async () => {
  const name = `pakt-${process.pid}`
  let inside = 0
  let most = 0
  const work = async (fails: boolean) => {
    inside += 1
    most = Math.max(most, inside)
    await new Promise((resolve) => setImmediate(resolve))
    inside -= 1
    if (fails) throw new Error('failed')
  }
  const done = await Promise.allSettled(
    [false, true, false, true, false].map((fails) => withHostLock(name, () => work(fails))),
  )
  assert.equal(
    done.map(({ status }) => status === 'rejected'),
    [false, true, false, true, false],
  )
  assert.is(most, 1)
})

test.run()
