import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'

const MOST = 1024

test('only a plain file that is really below the folder is read', async () => {
  const folder = await mkdtemp('/tmp/pakt-below-')
  try {
    const inside = join(folder, 'root')
    await mkdir(join(inside, 'etc'), { recursive: true })
    await writeFile(join(folder, 'secret'), 'outside')
    await writeFile(join(inside, 'etc/passwd'), 'root:x:0:0::/:')
    await writeFile(join(inside, 'etc/large'), 'x'.repeat(MOST + 1))
    await writeFile(join(inside, 'etc/empty'), '')
    await symlink(join(folder, 'secret'), join(inside, 'etc/link'))
    await symlink(folder, join(inside, 'up'))
    execFileSync('mkfifo', [join(inside, 'etc/pipe')])
    const read = (path: string) => hostKernel.readBelow(inside, join(inside, path), MOST)
    assert.is(await read('etc/passwd'), 'root:x:0:0::/:')
    assert.is(await read('etc/empty'), '')
    for (const path of ['etc/link', 'up/secret', 'etc/pipe', 'etc/large', 'etc', 'etc/none'])
      assert.is(await read(path), null, path)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test.run()
