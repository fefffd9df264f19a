// alone: counts what is on the machine
import { execFileSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { census, censusDifference } from './census.ts'
import { hostLacks, testUnless } from './skip.ts'

testUnless(
  test,
  hostLacks('ip'),
  'a link that stays behind is seen, and one that is taken away',
  () => {
    const name = `pakt${process.pid}`
    const before = census()
    execFileSync('ip', ['link', 'add', name, 'type', 'bridge'])
    const during = census()
    execFileSync('ip', ['link', 'del', name])
    assert.ok(censusDifference(before, during).includes(`+ link ${name}`))
    assert.ok(censusDifference(during, before).includes(`- link ${name}`))
    assert.not.ok(censusDifference(before, census()).includes(`+ link ${name}`))
  },
)

test.run()
