import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { PakSandbox } from './pak.ts'

/** Run it once, and tell at which of its events a kill finds something else done than at the one before. */
export async function boundaries(
  sandbox: PakSandbox,
  command: readonly string[],
  at: 'both ends' | 'the begin of steps' = 'both ends',
): Promise<readonly number[]> {
  const { stdout, stderr, exitCode } = await sandbox.run([...command, '--progress', 'json'])
  assert.is(exitCode, 0, stderr)
  const types = `${stdout}${stderr}`
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => (JSON.parse(line) as { readonly type: string }).type)
    .filter((type) => type === 'started' || type === 'done')
  const found = types.flatMap((type, index) =>
    // Steps of one batch begin together, and nothing happens in between.
    (type === 'started' && types[index - 1] === 'started') ||
    (type === 'done' && at === 'the begin of steps')
      ? []
      : [index],
  )
  assert.ok(found.length >= 6, types.join(' '))
  return found
}

/** The command meets an agent that dies there: it fails, and says so. */
export async function killedAt(
  sandbox: PakSandbox,
  boundary: number,
  command: readonly string[],
): Promise<void> {
  await mkdir(sandbox.runRoot, { recursive: true })
  await writeFile(join(sandbox.runRoot, 'failpoint'), String(boundary))
  const { exitCode, stderr } = await sandbox.run(command)
  assert.is(exitCode, 1, `${command[0]} at ${boundary}: ${stderr}`)
  assert.match(stderr, 'the agent ended in the middle')
}
