import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { complete } from '../../src/cli/commands/complete.ts'
import { completion } from '../../src/cli/commands/completion.ts'
import { flagsOf } from '../../src/cli/flags.ts'
import { globalsOf } from '../../src/cli/globals.ts'
import type { Invocation } from '../../src/cli/grammar.ts'
import { installed, testUnless } from '../support/skip.ts'
import { paperTerminal } from './paper.ts'

const MANIFEST =
  'name: shop\ncontainers:\n  web: { image: a }\n  worker: { image: a }\n  db: { image: a }\n'

async function folderWith(manifest: string) {
  const path = await fs.mkdtemp(join(tmpdir(), 'pakt-complete-'))
  await fs.writeFile(join(path, 'pak.yaml'), manifest)
  return { path, [Symbol.asyncDispose]: () => fs.rm(path, { recursive: true }) }
}

function invocation(words: readonly string[], cwd = '/'): Invocation {
  const flags = flagsOf({})
  const never = new AbortController().signal
  return {
    words,
    flags,
    globals: globalsOf(flags, { cwd, environment: {} }),
    terminal: paperTerminal(),
    interrupts: { signal: never, force: never, handleForce() {}, ignore() {} },
  }
}

const candidates = async (line: string, cwd?: string) =>
  (await complete(invocation(line.split(' '), cwd))).join(' ')

test('commands, commands of commands, options and their choices', async () => {
  assert.is(await candidates('p'), 'plan ps pause')
  assert.is(await candidates('image '), 'load import ls rm')
  assert.is(await candidates('--root /x image l'), 'load ls')
  assert.is(await candidates('ps --fo'), '--format')
  assert.is(await candidates('ps --format '), 'table json')
  assert.is(await candidates('ps --file '), ':files')
  assert.not((await candidates('')).includes('__complete'))
})

test('names of services, from the manifest that the line names', async () => {
  await using folder = await folderWith(MANIFEST)
  assert.is(await candidates('logs -f w', folder.path), 'web worker')
  assert.is(await candidates('exec ', folder.path), 'db web worker')
  assert.is(await candidates('exec web ', folder.path), '')
  assert.is(await candidates('pause web w', folder.path), 'web worker')
  await fs.writeFile(join(folder.path, 'other.yaml'), 'containers:\n  else: { image: a }\n')
  assert.is(await candidates('up -f other.yaml ', folder.path), 'else')
  assert.is(await candidates('up -f none.yaml ', folder.path), '')
})

test('a broken manifest completes nothing and says nothing', async () => {
  await using folder = await folderWith('containers: [')
  assert.is(await candidates('ps ', folder.path), '')
})

const lacks = (shell: string) => (installed(shell) ? null : `not installed: ${shell}`)

for (const shell of ['bash', 'zsh', 'fish'])
  testUnless(test, lacks(shell), `${shell} parses its script`, async () => {
    await using folder = await folderWith(MANIFEST)
    const script = join(folder.path, 'completion')
    await fs.writeFile(script, await completion(invocation([shell])))
    const { status, stderr } = spawnSync(shell, ['-n', script], { encoding: 'utf8' })
    assert.is(status, 0, stderr)
  })

/** `pak` from source, in the folder. */
async function provideProgram(folder: string): Promise<void> {
  const main = join(import.meta.dirname, '../../src/cli/main.ts')
  const start = `exec ${process.execPath} --import ${import.meta.resolve('tsx')} ${main}`
  await fs.writeFile(join(folder, 'pak'), `#!/bin/sh\n${start} "$@"\n`, { mode: 0o755 })
}

const BASH_ASK = [
  '. ./completion; COMP_WORDS=(./pak "$@"); COMP_CWORD=$#',
  `_pak; printf '%s\\n' "\${COMPREPLY[@]}"`,
].join('; ')

testUnless(test, lacks('bash'), 'bash completes with it', async () => {
  await using folder = await folderWith(MANIFEST)
  await provideProgram(folder.path)
  await fs.writeFile(join(folder.path, 'completion'), await completion(invocation(['bash'])))
  const ask = (words: readonly string[]) =>
    execFileSync('bash', ['-c', BASH_ASK, 'bash', ...words], {
      cwd: folder.path,
      encoding: 'utf8',
    })
  assert.is(ask(['logs', '-n', '5', 'w']), 'web\nworker\n')
  assert.is(ask(['up', '--file', 'pak.y']), 'pak.yaml\n')
  assert.is(ask(['logs', '--fol']), '--follow\n')
})

testUnless(test, lacks('fish'), 'fish completes with it', async () => {
  await using folder = await folderWith(MANIFEST)
  await provideProgram(folder.path)
  await fs.writeFile(join(folder.path, 'completion'), await completion(invocation(['fish'])))
  const ask = (line: string) =>
    execFileSync('fish', ['-c', 'source completion; complete -C $argv[1]', line], {
      cwd: folder.path,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${folder.path}:${process.env['PATH']}`, HOME: folder.path },
    })
  assert.is(ask('pak logs -n 5 w'), 'web\nworker\n')
  assert.is(ask('pak image l'), 'load\nls\n')
  assert.match(ask('pak up --file pak.y'), 'pak.yaml')
})

test('another shell is refused', async () => {
  for (const shell of ['tcsh', '__proto__'])
    try {
      await completion(invocation([shell]))
      assert.unreachable()
    } catch (error) {
      assert.match(String(error), /expected bash, zsh or fish/)
    }
})

test.run()
