import { execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readSync } from 'node:fs'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'

test('a pipe that somebody reads gets one byte and loses its name; nothing else is touched', async () => {
  const folder = await mkdtemp('/tmp/pakt-pipe-')
  try {
    const [pipe, plain, link] = ['pipe', 'plain', 'link'].map((name) => join(folder, name))
    assert.ok(pipe && plain && link)
    execFileSync('mkfifo', [pipe])
    await writeFile(plain, 'text')
    await symlink(pipe, link)
    assert.is(hostKernel.releasePipe(join(folder, 'none')), false)
    assert.is(hostKernel.releasePipe(plain), false)
    assert.is(hostKernel.releasePipe(pipe), false, 'nobody reads it')
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      assert.is(hostKernel.releasePipe(link), false)
      assert.ok(existsSync(pipe) && existsSync(plain))
      assert.is(hostKernel.releasePipe(pipe), true)
      assert.not(existsSync(pipe))
      const read = Buffer.alloc(8)
      assert.is(readSync(reader, read), 1)
      assert.is(read[0], 0)
    } finally {
      closeSync(reader)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})

test.run()
