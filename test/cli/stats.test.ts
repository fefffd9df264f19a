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
  execs: [],
}))

test('the screen shows what there is room for, and nothing a name could do', () => {
  const all = screenText(rows, { rows: 0, columns: 0 })
  assert.match(all, /one .*25\.0%.* 3 MiB/)
  assert.not.ok(all.includes('\x1b[2J'))
  const small = screenText(rows, { rows: 3, columns: 5 })
  assert.is(small, '\x1b[HCONTA\x1b[K\none  \x1b[K\n\x1b[J')
})

test('what was put into a container stands below it', () => {
  const [row] = rows
  const exec = { pid: 4711, pids: 2, cpuPercent: 12, cpuUsageUsec: 1, memoryBytes: 1024 * 1024 }
  const command = `sh -c ${'x'.repeat(40)}`
  const shown = screenText(row === undefined ? [] : [{ ...row, execs: [{ ...exec, command }] }], {
    rows: 0,
    columns: 0,
  })
  assert.match(
    shown,
    /one .*\n {2}exec 4711: sh -c x{24}\.\.\. +12\.0% +- +1 MiB +- +- +- +2 +- +-/,
  )
})

test.run()
