import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'

test('a kept file says the same when it has the same bytes, and no more and no fewer', async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-small-'))
  try {
    const file = join(folder, 'file')
    for (const text of ['', 'one', `${'x'.repeat(5000)}y`]) {
      await fs.writeFile(file, text)
      const kept = hostKernel.keepFile(file)
      assert.is(kept.saysStill(), true)
      for (const other of [`${text}z`, text.slice(0, -1), `${text.slice(0, -1)}q`]) {
        await fs.writeFile(file, other)
        assert.is(kept.saysStill(), other === text)
      }
      await fs.writeFile(file, text)
      assert.is(kept.saysStill(), true)
      kept.close()
      kept.close()
    }
  } finally {
    await fs.rm(folder, { recursive: true })
  }
})

test('a file that was not there says the same until it is there', async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-small-'))
  try {
    const kept = hostKernel.keepFile(join(folder, 'file'))
    assert.is(kept.saysStill(), true)
    await fs.writeFile(join(folder, 'file'), '')
    assert.is(kept.saysStill(), false)
    kept.close()
  } finally {
    await fs.rm(folder, { recursive: true })
  }
})

test('what a process says is another thing once it is gone', async () => {
  const child = spawn('sleep', ['100'])
  const kept = hostKernel.keepFile(`/proc/${child.pid}/cgroup`)
  assert.is(kept.saysStill(), true)
  child.kill('SIGKILL')
  await once(child, 'close')
  assert.is(kept.saysStill(), false)
  kept.close()
})

test('more files than are kept open are asked all the same', () => {
  const many = Array.from({ length: 2_100 }, () => hostKernel.keepFile('/proc/self/cgroup'))
  assert.ok(many.every((kept) => kept.saysStill()))
  for (const kept of many) kept.close()
})

test.run()
