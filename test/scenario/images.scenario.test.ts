// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { dockerArchiveOf, layoutOf, tarOfFiles } from '../images/archives.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { containers, lacking, stage } from './stage.ts'

const CONFIG = {
  Entrypoint: ['/bin/sh', '-c'],
  Cmd: ['echo "$GREETING from $(pwd) as $(id -u)"; exec sleep 100000'],
  Env: ['PATH=/bin', 'GREETING=hello'],
  WorkingDir: '/srv',
  User: 'nobody',
  StopSignal: 'SIGKILL',
}
const runs = (image: string, keys = '') =>
  `name: pakti\ncontainers:\n  web:\n    image: ${image}\n    stop_signal: SIGKILL\n${keys}`

testUnless(
  test,
  lacking,
  'an OCI layout as folder and tar and a docker-archive are loaded; the image says what runs',
  async () => {
    await using pak = await stage()
    const layers = [await rootLayer(pak)]
    const layout = layoutOf({ layers, config: CONFIG, reference: 'folder:1' })
    for (const [name, bytes] of layout) {
      await fs.mkdir(dirname(join(pak.folder, 'layout', name)), { recursive: true })
      await fs.writeFile(join(pak.folder, 'layout', name), bytes)
    }
    const archives = {
      'oci.tar': layoutOf({ layers, config: CONFIG, reference: 'tarred:1' }),
      'docker.tar': dockerArchiveOf({ layers, config: CONFIG, reference: 'archived:1' }),
    }
    for (const [name, files] of Object.entries(archives))
      await fs.writeFile(join(pak.folder, name), tarOfFiles(files))
    for (const source of ['layout', 'oci.tar', 'docker.tar'])
      await pak.ok(['image', 'load', '-i', source])
    const rows = await pak.json<readonly Record<string, unknown>[]>(['image', 'ls'])
    assert.equal(rows.map(({ reference }) => reference).sort(), [
      'docker.io/library/archived:1',
      'docker.io/library/folder:1',
      'docker.io/library/tarred:1',
    ])
    assert.equal(Object.keys(rows[0] ?? {}).sort(), [
      'createdAt',
      'digest',
      'reference',
      'sizeBytes',
    ])
    for (const image of ['folder:1', 'tarred:1', 'archived:1']) {
      await pak.write('pak.yaml', runs(image))
      await pak.ok(['up', '-d', '--force-recreate'])
      assert.is((await containers(pak))['pakti-web-1']?.state, 'running')
      const told = await pak.ok(['logs', '-n', '1', '--no-log-prefix'])
      assert.is(told, 'hello from /srv as 65534\n', image)
    }
  },
)

testUnless(
  test,
  lacking,
  'an imported root is an image; the file wins over what it says; one in use stays',
  async () => {
    await using pak = await stage()
    await fs.writeFile(join(pak.folder, 'root.tar'), await rootLayer(pak))
    await pak.ok(['image', 'import', 'root.tar', 'base:1'])
    const command = '    command: [/bin/sh, -c, "echo $$A; exec sleep 100000"]\n'
    await pak.write('pak.yaml', runs('base:1', `${command}    environment: { A: mine }\n`))
    await pak.ok(['up', '-d'])
    assert.is(await pak.ok(['logs', '--no-log-prefix']), 'mine\n')
    const used = await pak.run(['image', 'rm', 'base:1'])
    assert.is(used.exitCode, 1)
    assert.match(used.stderr, 'pakti-web-1')
    await pak.ok(['down'])
    await pak.ok(['image', 'rm', 'base:1'])
    assert.equal(await pak.json(['image', 'ls']), [])
    const missing = await pak.run(['up', '-d'])
    assert.is(missing.exitCode, 1)
    assert.match(missing.stderr, /base:1.*not in the local store/)
  },
)

/** The busybox root as one layer, with a folder to work in. */
async function rootLayer(pak: PakSandbox): Promise<Buffer> {
  await fs.mkdir(join(pak.folder, 'rootfs/srv'), { recursive: true })
  const options = { maxBuffer: 100_000_000 }
  return execFileSync('tar', ['-C', join(pak.folder, 'rootfs'), '-c', '.'], options)
}

test.run()
