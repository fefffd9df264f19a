import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'pakt-tree-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

test('files, folders that are flat, deep or full, and what is not there are gone', async () => {
  await using at = await folder()
  const [flat, deep, full] = ['flat', 'deep', 'full'].map((name) => join(at.path, name)) as [
    string,
    string,
    string,
  ]
  await mkdir(join(flat, 'empty'), { recursive: true })
  await writeFile(join(flat, 'config.json'), '{}')
  await mkdir(join(deep, 'a/b/c'), { recursive: true })
  await writeFile(join(deep, 'a/b/file'), '')
  await mkdir(full)
  for (let index = 0; index < 100; index += 1) await writeFile(join(full, String(index)), '')
  const file = join(at.path, 'file')
  await writeFile(file, '')
  await hostKernel.removeTree(flat, deep, full, file, join(at.path, 'never'))
  assert.equal(await readdir(at.path), [])
})

test('what a link points to stays', async () => {
  await using at = await folder()
  const away = join(at.path, 'away')
  await mkdir(away)
  await writeFile(join(away, 'precious'), '')
  const tree = join(at.path, 'tree')
  await mkdir(tree)
  await symlink(away, join(tree, 'link'))
  await symlink(away, join(at.path, 'other'))
  await hostKernel.removeTree(tree, join(at.path, 'other'))
  assert.equal(await readdir(at.path), ['away'])
  assert.ok(existsSync(join(away, 'precious')))
})

test.run()
