import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SeenTable } from '../../src/executor/linux/seen-table.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import { eventually } from '../support/eventually.ts'

/** A machine on which `nft` can be made to take its time. */
function machine() {
  let looks = 0
  let gate = Promise.resolve()
  const run = async () => {
    looks += 1
    await gate
    return { exitCode: 0, stdout: '{"nftables": []}', stderr: '', piped: '' }
  }
  return {
    table: new SeenTable({ ...hostKernel, run }, 'pak_test'),
    looks: () => looks,
    holdUp: () => {
      let go = () => {}
      gate = new Promise((resolve) => {
        go = resolve
      })
      return () => go()
    },
  }
}

const PLAIN = { lifts: false, policies: null }

test('what was seen is known until somebody changes the table', async () => {
  const { table, looks } = machine()
  await table.known(PLAIN)
  await table.known(PLAIN)
  assert.is(looks(), 1)
  await table.look(PLAIN)
  assert.is(looks(), 2)
  table.forget()
  await table.known(PLAIN)
  assert.is(looks(), 3)
})

test('the answer to one question is not taken for that to another', async () => {
  const { table, looks } = machine()
  await table.known(PLAIN)
  await table.known({ ...PLAIN, policies: 'pak_test_shop' })
  // The second one looks at two tables.
  assert.is(looks(), 3)
})

test('a look that a change overtakes is not remembered', async () => {
  const { table, looks, holdUp } = machine()
  const go = holdUp()
  const looking = table.look(PLAIN)
  await eventually('the look is under way', () => looks() === 1, { everyMs: 1 })
  table.forget()
  go()
  await looking
  await table.known(PLAIN)
  assert.is(looks(), 2)
})

test.run()
