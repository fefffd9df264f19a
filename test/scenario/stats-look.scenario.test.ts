// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { baseEnvironment, type PakSandbox } from '../support/pak.ts'
import { installed, testUnless } from '../support/skip.ts'
import { lacking, SERVES, SLEEPS, stage } from './stage.ts'

const PAK = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')
const MANIFEST = `name: paktlook
containers:
  web:
    ${SERVES}
  back:
    ${SLEEPS}
    user: "12345"
  own:
    ${SLEEPS}
    network_mode: service:web
  once:
    rootfs: ./rootfs
    command: ["true"]
    network_mode: none
`

interface Usage {
  readonly service: string
  readonly state: string
  readonly memoryBytes: number | null
  readonly netRxBytes: number | null
  readonly netTxBytes: number | null
}

const usage = async (
  pak: PakSandbox,
  ...options: readonly string[]
): Promise<Readonly<Record<string, Usage>>> => {
  const rows = await pak.json<readonly Usage[]>(['stats', '--no-stream', ...options])
  return Object.fromEntries(rows.map((row) => [row.service, row]))
}

testUnless(
  test,
  lacking,
  'traffic is counted where it is, and what has ended uses nothing',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', MANIFEST)
    await pak.ok(['up', '-d'])
    await eventually('it has ended', async () => (await usage(pak))['once'] === undefined)
    const all = await usage(pak, '-a')
    assert.equal([all['once']?.state, all['once']?.memoryBytes], ['stopped', null])
    assert.is(all['own']?.netRxBytes, null)
    const before = all['web']
    await eventually('an answer', async () => {
      const body = await pak.run(['exec', 'back', 'wget', '-qO', '-', 'http://web/'])
      return body.exitCode === 0
    })
    const after = (await usage(pak, 'web'))['web']
    assert.ok((after?.netRxBytes ?? 0) > (before?.netRxBytes ?? 0) + 100)
    assert.ok((after?.netTxBytes ?? 0) > (before?.netTxBytes ?? 0) + 100)

    await pak.ok(['pause', 'back'])
    assert.is((await usage(pak))['back']?.state, 'paused')
    await pak.ok(['unpause', 'back'])
    assert.match(await pak.ok(['top', 'back']), /paktlook-back-1 +\d+ +1 +12345 .*sleep 100000/)
    assert.match(await pak.ok(['top', 'web']), / root .*httpd/)
    for (const verb of ['stats', 'top'] as const) {
      const { exitCode, stderr } = await pak.run([verb, 'nobody'])
      assert.equal([exitCode, /no such service in paktlook/.test(stderr)], [1, true], stderr)
    }
  },
)

testUnless(
  test,
  lacking ?? (installed('script') ? null : 'script(1) is not installed'),
  'on a terminal the table is drawn again and again, until it is interrupted',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', MANIFEST)
    await pak.ok(['up', '-d', 'back'])
    const line = `stty rows 3 cols 20; exec '${process.execPath}' '${PAK}' stats`
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      cwd: pak.folder,
      env: { ...baseEnvironment(), PAK_ROOT: pak.root, PAK_RUN_ROOT: pak.runRoot, TERM: 'xterm' },
    })
    let screen = ''
    child.stdout.on('data', (chunk: Buffer) => {
      screen += chunk.toString('utf8')
    })
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    await eventually('three tables', () => screen.split('\x1b[H').length > 3)
    child.stdin.write('\x03')
    assert.is(await ended, 0)
    assert.ok(screen.includes('paktlook-back-1'))
    const lines = stripVTControlCharacters(screen).split('\r\n')
    assert.ok(lines.every((text) => text.length <= 20))
  },
)

testUnless(test, lacking, 'where nothing is, nothing is used and no agent is started', async () => {
  await using pak = await stage()
  assert.equal(await pak.json(['stats']), [])
  assert.equal(await pak.json(['top']), [])
})

test.run()
