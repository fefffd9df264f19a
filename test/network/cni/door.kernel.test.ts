import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../../src/kernel/host.ts'
import { hostDoor } from '../../../src/network/cni/door.ts'

async function plugin(script: string) {
  const folder = await mkdtemp(join(tmpdir(), 'pakt-cni-'))
  await writeFile(join(folder, 'fake'), `#!/bin/sh\n${script}\n`)
  await chmod(join(folder, 'fake'), 0o755)
  return {
    folder,
    run: (name = 'fake', seconds = 60) =>
      hostDoor(
        hostKernel,
        seconds,
      )({
        plugin: name,
        command: 'ADD',
        path: [folder],
        input: '{"a":1}',
        environment: (path) => ({ CNI_COMMAND: 'ADD', CNI_PATH: path.join(':') }),
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

test('a plugin has its input, its variables, and nothing of whoever runs pak', async () => {
  await using fake = await plugin('cat; env | sort | sed "s/=.*//" | tr "\\n" " " >&2')
  const { exitCode, stdout, stderr } = await fake.run()
  assert.is(exitCode, 0)
  assert.is(stdout, '{"a":1}')
  assert.is(stderr.trim(), 'CNI_COMMAND CNI_PATH LANG LC_ALL PATH PWD')
})

test('one that hangs is ended with all that it started', async () => {
  await using fake = await plugin('sleep 77.5 & sleep 77.5')
  const error = String(await fake.run('fake', 1).catch((reason: unknown) => reason))
  assert.match(error, 'cni plugin `fake`, ADD: no end after 1 s')
  const lines = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  )
  assert.not.ok(lines.some((line) => line.includes('77.5')))
})

test('one that floods, and one that is not there, are told by name', async () => {
  await using fake = await plugin('head -c 400000 /dev/zero')
  const flood = String(await fake.run().catch((reason: unknown) => reason))
  assert.match(flood, 'cni plugin `fake`, ADD: it says more than 256 KiB')
  const absent = String(await fake.run('absent').catch((reason: unknown) => reason))
  assert.match(absent, `cni plugin \`absent\`: not in ${fake.folder}, /opt/cni/bin`)
})

test.run()
