// not in the emulated machine: its host is in memory
import { execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ensureAgent } from '../../src/agent/launch.ts'
import { eventually } from '../support/eventually.ts'
import { baseEnvironment } from '../support/pak.ts'
import { hostLacks, testUnless } from '../support/skip.ts'

// pak as a program, before an agent whose host is in memory: what is said and which exit status it has.

const PAK = join(import.meta.dirname, '../../dist/pak.js')
const AGENT = join(import.meta.dirname, '../agent/memory-agent.ts')
const TSX = ['--import', import.meta.resolve('tsx')]

const MANIFEST = `
name: shop
containers:
  web:
    rootfs: /
    command: [sleep, "1000"]
    environment: { GREETING: hi }
    ports: ["18080:80"]
    depends_on: [db]
  db: { rootfs: /, command: [sleep, "1000"] }
`

interface Result {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

async function sandbox({ agent }: { readonly agent: boolean }) {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-cli-'))
  const roots = { root: join(folder, 'root'), runRoot: join(folder, 'run'), runtime: 'crun' }
  const program = [process.execPath, ...TSX, AGENT]
  const client = agent ? await ensureAgent(roots, undefined, { program }) : null
  await fs.writeFile(join(folder, 'pak.yaml'), MANIFEST)
  const start = (args: readonly string[]) =>
    spawn(process.execPath, [PAK, ...args], {
      cwd: folder,
      env: { ...baseEnvironment(), PAK_ROOT: roots.root, PAK_RUN_ROOT: roots.runRoot },
    })
  return {
    folder,
    start,
    run: (...args: readonly string[]) => finished(start(args)),
    change: (from: string, to: string) =>
      fs.writeFile(join(folder, 'pak.yaml'), MANIFEST.replace(from, to)),
    async [Symbol.asyncDispose]() {
      await client?.stop().catch(() => {})
      await fs.rm(folder, { recursive: true, force: true })
    },
  }
}

function finished(child: ReturnType<typeof spawn>): Promise<Result> {
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => {
    output.stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    output.stderr += chunk
  })
  child.stdin?.end()
  return new Promise((resolve) => child.on('close', (exitCode) => resolve({ exitCode, ...output })))
}

const unlessRoot = hostLacks('unshare')

testUnless(test, unlessRoot, 'up, no-op up, plan, change, ps, down', async () => {
  await using pak = await sandbox({ agent: true })
  const up = await pak.run('up', '-d')
  assert.is(up.exitCode, 0, up.stderr)
  assert.is(up.stdout, '')
  assert.match(up.stderr, 'create service/web/1: missing')
  assert.match((await pak.run('up', '-d')).stderr, 'shop: nothing to do')
  assert.is((await pak.run('plan', '--detailed-exitcode')).exitCode, 0)

  await pak.change('hi', 'hello')
  const plan = await pak.run('plan', '--detailed-exitcode')
  assert.is(plan.exitCode, 2)
  assert.match(plan.stdout, 'environment.GREETING: "hi" -> "hello"')
  const { steps, summary } = JSON.parse((await pak.run('plan', '--format', 'json')).stdout)
  assert.is(summary.recreate, 1)
  assert.equal(Object.keys(steps[0]), ['id', 'op', 'on', 'because', 'needs', 'destroys'])

  const rows = JSON.parse((await pak.run('ps', '--format', 'json')).stdout)
  assert.equal(
    rows.map((row: { container: string }) => row.container),
    ['shop-db-1', 'shop-web-1'],
  )
  assert.is((await pak.run('ps', '-q', '--filter', 'service=web')).stdout, 'shop-web-1\n')
  const down = await pak.run('down', '-v')
  assert.is(down.exitCode, 0, down.stderr)
  assert.match(down.stderr, 'remove service/web/1')
})

testUnless(test, unlessRoot, 'a saved plan is applied as it is, or refused', async () => {
  await using pak = await sandbox({ agent: true })
  assert.is((await pak.run('plan', '-o', 'first.json')).exitCode, 0)
  const { mode } = await fs.stat(join(pak.folder, 'first.json'))
  assert.is(mode & 0o777, 0o600)
  await pak.change('hi', 'changed after the plan')
  const up = await pak.run('up', '-d', '--plan', 'first.json')
  assert.is(up.exitCode, 0, up.stderr)
  assert.match((await pak.run('inspect', 'web')).stdout, '"GREETING": "hi"')
  const again = await pak.run('up', '-d', '--plan', 'first.json')
  assert.is(again.exitCode, 1)
  assert.match(again.stderr, 'error:')
  const wrong = await pak.run('up', '--plan', 'pak.yaml')
  assert.is(wrong.exitCode, 2)
  assert.match(wrong.stderr, 'not a plan that pak has saved')
})

testUnless(test, unlessRoot, '^C in the foreground stops the containers', async () => {
  await using pak = await sandbox({ agent: true })
  const child = pak.start(['up'])
  const result = finished(child)
  await eventually(
    'both run',
    async () => (await pak.run('ps', '-q')).stdout.split('\n').length === 3,
  )
  child.kill('SIGINT')
  const { exitCode, stderr } = await result
  assert.match(stderr, 'stop service/web/1')
  assert.is(exitCode, 130, stderr)
  assert.is((await pak.run('ps', '-q')).stdout, '')
  assert.is((await pak.run('ps', '-aq')).stdout, 'shop-db-1\nshop-web-1\n')
})

testUnless(
  test,
  unlessRoot,
  'unknown services are named, with exit status 1; for exec 125',
  async () => {
    await using pak = await sandbox({ agent: true })
    await pak.run('up', '-d')
    for (const words of [
      ['stop', 'wbe'],
      ['ps', 'wbe'],
      ['logs', 'wbe'],
      ['inspect', 'wbe'],
    ]) {
      const { exitCode, stderr } = await pak.run(...words)
      assert.is(exitCode, 1, words.join(' '))
      assert.match(stderr, 'wbe')
    }
    assert.is((await pak.run('exec', 'wbe', 'true')).exitCode, 125)
    assert.is((await pak.run('exec', '--wrong', 'web', 'true')).exitCode, 125)
  },
)

test('what only looks starts no agent', async () => {
  await using pak = await sandbox({ agent: false })
  const lookers = [['ps'], ['logs'], ['volume', 'ls'], ['network', 'ls'], ['image', 'ls'], ['down']]
  for (const words of lookers) assert.is((await pak.run(...words)).exitCode, 0, words.join(' '))
  assert.is((await pak.run('agent', 'status')).exitCode, 1)
  assert.equal((await fs.readdir(pak.folder)).sort(), ['pak.yaml'])
})

test('a manifest with errors: all of them, exit status 2', async () => {
  await using pak = await sandbox({ agent: false })
  await pak.change('command: [sleep, "1000"]\n    env', 'comand: x\n    ports_: y\n    env')
  for (const words of [['config'], ['validate'], ['plan', '--simulate']]) {
    const { exitCode, stderr, stdout } = await pak.run(...words)
    assert.is(exitCode, 2, words.join(' '))
    assert.is(stdout, '')
    assert.match(stderr, 'pak.yaml:6')
    assert.match(stderr, 'pak.yaml:7')
  }
})

test('a simulated plan needs neither agent nor root', async () => {
  await using pak = await sandbox({ agent: false })
  const { exitCode, stdout, stderr } = await pak.run('plan', '--simulate')
  assert.is(exitCode, 0, stderr)
  assert.match(stdout, '+ service/web/1')
  assert.match(stderr, '0 left when planned again')
})

test('config is a manifest that means the same', async () => {
  await using pak = await sandbox({ agent: false })
  const { stdout } = await pak.run('config')
  await fs.writeFile(join(pak.folder, 'pak.yaml'), stdout)
  assert.is((await pak.run('config')).stdout, stdout)
  assert.is((await pak.run('config', '--services')).stdout, 'db\nweb\n')
  assert.type(JSON.parse((await pak.run('config', '--format', 'json')).stdout), 'object')
})

test('a reader that goes away ends pak without a word', async () => {
  await using pak = await sandbox({ agent: false })
  const folder = join(pak.folder, 'root/projects/shop/logs')
  await fs.mkdir(folder, { recursive: true })
  const line = '2026-01-01T00:00:00.000000000Z stdout F x\n'
  await fs.writeFile(join(folder, 'shop-web-1.log'), line.repeat(100_000))
  const script = '"$@" 2>err | head -1; echo $PIPESTATUS'
  const command = [process.execPath, PAK, 'logs', '--root', join(pak.folder, 'root')]
  const options = { cwd: pak.folder, encoding: 'utf8' } as const
  const output = execFileSync('bash', ['-c', script, 'bash', ...command], options)
  assert.is(output, 'web-1 | x\n0\n')
  assert.is(await fs.readFile(join(pak.folder, 'err'), 'utf8'), '')
})

test('versions and help are on stdout', async () => {
  await using pak = await sandbox({ agent: false })
  assert.match((await pak.run('--version')).stdout, /^pak \d+\.\d+\.\d+\n$/)
  assert.match((await pak.run('version', '--format', 'json')).stdout, '"version"')
  for (const words of [[], ['--help'], ['help'], ['ps', '--help'], ['help', 'image']]) {
    const { exitCode, stdout, stderr } = await pak.run(...words)
    assert.is(exitCode, 0, words.join(' '))
    assert.match(stdout, 'Examples:')
    assert.is(stderr, '')
  }
})

test.run()
