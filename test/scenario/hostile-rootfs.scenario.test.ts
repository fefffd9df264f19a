// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testUnless } from '../support/skip.ts'
import { labWith, lacksContainers } from './lab.ts'

/** Each a path in the rootfs that is a link to a folder (or a file in it) of the host. */
const STEERED = [
  'dev',
  'proc',
  'sys',
  'etc',
  'etc/resolv.conf',
  'etc/hosts',
  'etc/hostname',
  'run',
  'mnt',
  'root',
]

testUnless(test, lacksContainers(), 'no link in a rootfs steers a mount to the host', async () => {
  await using sandbox = await labWith(
    'pakt-hostile',
    `${STEERED.map(
      (_, index) => `
s${index}:
  rootfs: ./r${index}
  command: [sh, -c, 'echo hello > /run/out; sleep 1000']
  stop_grace_period: 0s
  tmpfs: [/run/deep/er]
  volumes: ['data:/mnt/inner/data', './shared:/root/shared']
  working_dir: /root/made/here
`,
    ).join('')}\nvolumes: {}`,
  )
  await fs.mkdir(join(sandbox.folder, 'shared'))
  const original = await fs.readFile(join(sandbox.folder, 'pak.yaml'), 'utf8')
  await sandbox.write('pak.yaml', original.replace(/\n +volumes: \{\}/, '\nvolumes: { data: {} }'))
  const victims = STEERED.map((_, index) => join(sandbox.folder, `host${index}`))
  for (const [index, path] of STEERED.entries())
    await steer(join(sandbox.folder, `r${index}`), path, {
      victim: victims[index] ?? '',
      rootfs: join(sandbox.folder, 'rootfs'),
    })
  const before = await Promise.all(victims.map(content))
  const failures: string[] = []
  for (const index of STEERED.keys()) {
    const up = await sandbox.run(['up', '-d', `s${index}`])
    if (up.exitCode !== 0) failures.push(`${STEERED[index]}: ${up.stderr.trim()}`)
  }
  for (const [index, victim] of victims.entries())
    assert.equal(await content(victim), before[index], STEERED[index])
  // Pak's own layer covers most; where a mount's parent leads out of the root there is a refusal that names it.
  assert.ok(failures.length <= 3, failures.join('\n'))
  for (const failure of failures) assert.match(failure, /^(run|mnt|root): [\s\S]*`(run|mnt|root)`/)
})

interface Steering {
  readonly victim: string
  readonly rootfs: string
}

/** A copy of `rootfs` in which `path` is a link to `victim`, or to a file in there. */
async function steer(folder: string, path: string, { victim, rootfs }: Steering): Promise<void> {
  await fs.cp(rootfs, folder, { recursive: true, verbatimSymlinks: true })
  await fs.mkdir(victim)
  await fs.writeFile(join(victim, 'file'), 'the host’s')
  await fs.rm(join(folder, path), { recursive: true, force: true })
  const isFile = path.includes('/')
  await fs.symlink(isFile ? join(victim, 'file') : victim, join(folder, path))
}

/** Names, kinds, modes and texts of everything below. */
async function content(folder: string): Promise<readonly string[]> {
  const names = (await fs.readdir(folder, { recursive: true })).sort()
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name)
      const facts = await fs.lstat(path)
      const text = facts.isFile() ? await fs.readFile(path, 'utf8') : ''
      return `${name} ${facts.mode.toString(8)} ${facts.uid} ${facts.size} ${text}`
    }),
  )
}

test.run()
