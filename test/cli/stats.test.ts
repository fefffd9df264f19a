import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { screenText } from '../../src/cli/views/stats.ts'
import { NOTHING } from '../../src/executor/linux/usage-total.ts'
import type { UsageRow } from '../../src/model/usage.ts'

const rows: readonly UsageRow[] = ['one', 'two\x1b[2J'].map((name) => ({
  ...NOTHING,
  cpuPercent: 25.04,
  memoryBytes: 3 * 1024 * 1024,
  scope: 'container',
  project: 'shop',
  service: 'web',
  container: name,
  id: 'a',
  state: 'running',
}))

test('the screen shows what there is room for, and nothing a name could do', () => {
  const all = screenText(rows, { rows: 0, columns: 0 })
  assert.match(all, /one .*25\.0%.* 3 MiB/)
  assert.not.ok(all.includes('\x1b[2J'))
  const small = screenText(rows, { rows: 3, columns: 5 })
  assert.is(small, '\x1b[HCONTA\x1b[K\none  \x1b[K\n\x1b[J')
})

test.run()
