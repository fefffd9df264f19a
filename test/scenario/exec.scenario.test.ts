// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { baseEnvironment, type PakSandbox } from '../support/pak.ts'
import { installed, testUnless } from '../support/skip.ts'
import { lacking, SLEEPS, stage } from './stage.ts'

const PAK = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')
const MANIFEST = `name: pakte\ncontainers:\n  web:\n    ${SLEEPS}\n    environment: { OWN: "1" }\n`

testUnless(test, lacking, 'the exit status says how the command ended', async () => {
  await using pak = await upWith()
  const status = async (...args: readonly string[]) => (await pak.run(['exec', ...args])).exitCode
  assert.is(await status('web', 'sh', '-c', 'exit 7'), 7)
  assert.is(await status('web', 'sh', '-c', 'exit 255'), 255)
  assert.is(await status('web', 'no-such-program'), 127)
  assert.is(await status('web', '/etc/passwd'), 126)
  assert.is(await status('web', 'sh', '-c', 'kill -9 $$'), 137)
  assert.is(await status('web', 'sh', '-c', 'kill -TERM $$'), 143)
  assert.is(await status('nosuch', 'true'), 125)
  assert.is(await status('--nosuch', 'web', 'true'), 125)
  assert.is(await status('web'), 125)
  assert.is(await status('-w', '/nosuch', 'web', 'true'), 125)
  assert.is(await status('-u', 'nosuch', 'web', 'true'), 125)
  await pak.ok(['stop', 'web'])
  assert.is(await status('web', 'true'), 125)
})

testUnless(test, lacking, '-e, -u and -w; options after the command are its own', async () => {
  await using pak = await upWith()
  const script = 'echo $OWN $GIVEN; pwd; id -u; id -g'
  const args = ['exec', '-e', 'GIVEN=2', '-u', 'nobody', '-w', '/etc', 'web', 'sh', '-c', script]
  assert.equal((await pak.ok(args)).split('\n').slice(0, 4), ['1 2', '/etc', '65534', '65534'])
  assert.is(await pak.ok(['exec', 'web', 'echo', '-e', '-f', '--help']), '-f --help\n')
})

testUnless(test, lacking, 'bytes go in and out as they are', async () => {
  await using pak = await upWith()
  const bytes = randomBytes(3_000_000)
  const { stdout, status } = spawnSync(process.execPath, [PAK, 'exec', '-i', 'web', 'cat'], {
    ...surroundings(pak),
    input: bytes,
    maxBuffer: 10_000_000,
  })
  assert.is(status, 0)
  assert.ok(bytes.equals(stdout))
})

testUnless(
  test,
  lacking,
  'neither a variable nor a descriptor of the host gets into the container',
  async () => {
    await using pak = await upWith()
    const leak = openSync('/etc/hostname', 'r')
    const { env, ...rest } = surroundings(pak)
    const { stdout } = spawnSync(
      process.execPath,
      [PAK, 'exec', 'web', 'sh', '-c', 'env; for i in /proc/$$/fd/*; do readlink $i; done'],
      {
        ...rest,
        env: { ...env, PAKT_SECRET: 'secret' },
        stdio: ['ignore', 'pipe', 'pipe', leak, leak, leak],
        encoding: 'utf8',
      },
    )
    assert.match(stdout, 'OWN=1')
    assert.not.match(stdout, /secret|PAKT|PAK_|NODE|LANG/)
    assert.not.match(stdout, 'hostname')
  },
)

testUnless(
  test,
  lacking ?? (installed('script') ? null : 'not installed: script'),
  '-t gives the command a terminal',
  async () => {
    await using pak = await upWith()
    const command = `'${process.execPath}' '${PAK}' exec -it web sh -c 'tty; exit 3'`
    const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
      ...surroundings(pak),
      encoding: 'utf8',
    })
    assert.is(status, 3)
    assert.match(stdout, '/dev/pts/')
    assert.match((await pak.run(['exec', '-t', 'web', 'true'])).stderr, 'not a terminal')
    assert.is((await pak.run(['exec', '-T', 'web', 'tty'])).exitCode, 1)
  },
)

testUnless(test, lacking, 'exec leaves no file of itself behind', async () => {
  await using pak = await upWith()
  await pak.ok(['exec', 'web', 'true'])
  await pak.run(['exec', '-w', '/nosuch', 'web', 'true'])
  const left = execFileSync('find', [pak.runRoot, '-name', 'exec-*'], { encoding: 'utf8' })
  assert.is(left, '')
})

async function upWith(): Promise<PakSandbox> {
  const pak = await stage()
  await pak.write('pak.yaml', MANIFEST)
  await pak.ok(['up', '-d'])
  return pak
}

const surroundings = ({ folder, root, runRoot }: PakSandbox) => ({
  cwd: folder,
  env: { ...baseEnvironment(), PAK_ROOT: root, PAK_RUN_ROOT: runRoot },
})

test.run()
