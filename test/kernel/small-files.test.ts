import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'

test('a file says the same when it has the same bytes, and no more and no fewer', async () => {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-small-'))
  try {
    const file = join(folder, 'file')
    const says = (text: string | null) =>
      hostKernel.saysStill(file, text === null ? null : Buffer.from(text))
    assert.is(says(null), true)
    assert.is(says(''), false)
    for (const text of ['', 'one', `${'x'.repeat(5000)}y`]) {
      await fs.writeFile(file, text)
      assert.is(says(text), true)
      assert.is(says(null), false)
      assert.is(says(`${text}z`), false)
      if (text !== '') assert.is(says(text.slice(0, -1)), false)
      if (text !== '') assert.is(says(`${text.slice(0, -1)}q`), false)
    }
  } finally {
    await fs.rm(folder, { recursive: true })
  }
})

test.run()
