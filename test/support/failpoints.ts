import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { manifest, pids } from './fleet.ts'
import type { PakSandbox } from './pak.ts'

/** Two services, one of which needs the other; `version` makes one of them new. */
export const fleet = (
  port: number,
  version = 'one',
  more: Readonly<Record<string, unknown>> = {},
) =>
  manifest({
    web: {
      ...more,
      command: ['sh', '-c', 'echo $$VERSION > /tmp/index.html; exec httpd -f -p 80 -h /tmp'],
      stop_signal: 'SIGKILL',
      environment: { VERSION: version },
      ports: [`${port}:80`],
      restart: 'always',
      depends_on: ['db'],
    },
    db: { stop_signal: 'SIGKILL', restart: 'always' },
    other: { stop_signal: 'SIGKILL', restart: 'always' },
  })

export const UP = ['up', '-d']
export const DOWN = ['down', '-t', '0']

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

/** The pids of what runs after the kill, which nobody has a reason to end. */
export async function dieAt(
  sandbox: PakSandbox,
  boundary: number,
  command: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  await killedAt(sandbox, boundary, command)
  return command === DOWN ? {} : pids(sandbox)
}

interface Whole {
  readonly port: number
  readonly version: string
  readonly running: Readonly<Record<string, number | undefined>>
  readonly boundary: number
}

export async function isWhole(sandbox: PakSandbox, { port, version, running, boundary }: Whole) {
  const now = await pids(sandbox)
  assert.equal(Object.keys(now).sort(), ['db', 'other', 'web'], `after ${boundary}`)
  for (const [service, pid] of Object.entries(running))
    if (service !== 'web' && pid !== undefined)
      assert.is(now[service], pid, `${service} was restarted after ${boundary}`)
  const page = await (await fetch(`http://127.0.0.1:${port}/`)).text()
  assert.is(page, `${version}\n`, `after ${boundary}`)
  const plan = await sandbox.run(['plan', '--detailed-exitcode'])
  assert.is(plan.exitCode, 0, `after ${boundary}: ${plan.stdout}`)
}
