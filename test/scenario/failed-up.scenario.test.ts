// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { busyboxSandbox, fleetLacks, freePort, manifest, ps } from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const NETWORKS = ['fleet/default']

testUnless(test, fleetLacks(), 'after up and down nothing is left, at once', async () => {
  await using sandbox = await busyboxSandbox()
  await sandbox.write('pak.yaml', manifest({ web: { ports: [`${await freePort()}:80`] } }))
  await sandbox.ok(['up', '-d'])
  await down(sandbox)
})

testUnless(
  test,
  fleetLacks(),
  'a command that does not exist is named; the other containers run',
  async () => {
    await using sandbox = await busyboxSandbox()
    const services = { good: {}, bad: { command: ['no-such-program', '-v'] }, also: {} }
    await sandbox.write('pak.yaml', manifest(services))
    const { exitCode, stderr } = await sandbox.run(['up', '-d'])
    assert.is(exitCode, 1)
    assert.match(stderr, 'no-such-program')
    assert.match(stderr, 'bad')
    const rows = await ps(sandbox)
    assert.is(rows['good']?.state, 'running')
    assert.is(rows['also']?.state, 'running')
    assert.is.not(rows['bad']?.state, 'running')
    await down(sandbox)
  },
)

testUnless(test, fleetLacks(), 'a file that is no program is told from a missing one', async () => {
  await using sandbox = await busyboxSandbox()
  await sandbox.write('pak.yaml', manifest({ only: { command: ['/etc/passwd'] } }))
  const { exitCode, stderr } = await sandbox.run(['up', '-d'])
  assert.is(exitCode, 1)
  assert.match(stderr, '/etc/passwd')
  assert.match(stderr, 'ermission')
  await down(sandbox)
})

testUnless(test, fleetLacks(), 'an image that is missing changes nothing', async () => {
  await using sandbox = await busyboxSandbox()
  const image = { containers: { a: { image: 'pakt/none:1' } }, name: 'fleet' }
  await sandbox.write('pak.yaml', JSON.stringify(image))
  const { exitCode, stderr } = await sandbox.run(['up', '-d'])
  assert.is(exitCode, 1)
  assert.match(stderr, 'pakt/none:1')
  await nothingLeft(sandbox, NETWORKS)
  await down(sandbox)
})

testUnless(test, fleetLacks(), 'a port that a process holds: the process is named', async () => {
  await using sandbox = await busyboxSandbox()
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(0, '0.0.0.0', resolve))
  const address = holder.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  try {
    await sandbox.write('pak.yaml', manifest({ web: { ports: [`${port}:80`] } }))
    const { exitCode, stderr } = await sandbox.run(['up', '-d'])
    assert.is(exitCode, 1)
    assert.match(stderr, `:${port}`)
    assert.match(stderr, String(process.pid))
    assert.match(stderr, 'node')
  } finally {
    holder.close()
  }
  await nothingLeft(sandbox, NETWORKS)
})

testUnless(test, fleetLacks(), 'a port of another project: that project is named', async () => {
  await using sandbox = await busyboxSandbox()
  const port = await freePort()
  const services = { web: { ports: [`${port}:80`] } }
  const first = await sandbox.write('first.yaml', manifest(services, { name: 'first' }))
  const second = await sandbox.write('second.yaml', manifest(services, { name: 'second' }))
  await sandbox.ok(['up', '-d', '-f', first])
  const { exitCode, stderr } = await sandbox.run(['up', '-d', '-f', second])
  assert.is(exitCode, 1)
  assert.match(stderr, 'project first')
  await sandbox.ok(['down', '-t', '0', '-f', first])
  await sandbox.ok(['up', '-d', '-f', second])
  await sandbox.ok(['down', '-t', '0', '-f', second])
  await nothingLeft(sandbox, ['first/default', 'second/default'])
})

testUnless(test, fleetLacks(), 'a manifest that changes or goes while up is busy', async () => {
  await using sandbox = await busyboxSandbox()
  const file = await sandbox.write('pak.yaml', manifest({ one: {} }))
  const child = spawn(process.execPath, ['-e', changer(file)])
  try {
    await once(child.stdout, 'data')
    for (let round = 0; round < 3; round += 1) {
      const { exitCode, stderr } = await sandbox.run(['up', '-d'])
      // Half a file is an error in the file, never anything else.
      assert.ok(exitCode === 0 || /pak\.yaml/.test(stderr), stderr)
    }
  } finally {
    child.kill('SIGKILL')
  }
  await sandbox.write('pak.yaml', manifest({ one: {}, two: {} }))
  await sandbox.ok(['up', '-d'])
  assert.is(Object.keys(await ps(sandbox)).length, 2)
  assert.match(await readFile(join(sandbox.root, 'projects/fleet/desired.json'), 'utf8'), 'two')
  await down(sandbox)
})

/** A program that writes the file again and again, not atomically. */
function changer(file: string): string {
  const texts = [manifest({ one: {} }), manifest({ one: {}, two: {} })]
  return `
    const { writeFileSync } = require('node:fs')
    const texts = ${JSON.stringify(texts)}
    let turn = 0
    setInterval(() => writeFileSync(${JSON.stringify(file)}, texts[turn++ % 2]), 5)
    console.log('ready')`
}

async function down(sandbox: PakSandbox): Promise<void> {
  await sandbox.ok(['down', '-t', '0'])
  await eventually('the agent left', () => nothingLeft(sandbox, NETWORKS).then(() => true))
}

test.run()
