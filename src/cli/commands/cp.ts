import { spawn } from 'node:child_process'
import { lstat, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { AgentClient } from '../../agent/client.ts'
import { PakError } from '../../errors.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

interface Inside {
  readonly project: string
  readonly container: string
  readonly path: string
}

/** `pak cp`: a file or folder into a container or out of it; `-` is a tar on stdin or stdout. */
export async function cp(invocation: Invocation): Promise<number> {
  const { globals, interrupts, words } = invocation
  const [from = '', to = ''] = words
  const [source, target] = [split(from), split(to)]
  if ((source === null) === (target === null))
    throw new PakError('usage', 'cp: expected SERVICE:PATH on one side, and on one side only')
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const at = await inside(agent, { invocation, project, place: source ?? target ?? ['', ''] })
  const local = source === null ? from : to
  const path = local === '-' ? '-' : resolve(globals.cwd, local)
  if (source !== null) await copyOut(agent, at, { path, invocation })
  else await copyIn(agent, at, { path: local.endsWith('/.') ? `${path}/.` : path, invocation })
  return 0
}

/** `web:/etc/hosts`; a path that begins with `/` or `.` is local. */
function split(word: string): readonly [string, string] | null {
  const match = /^([a-zA-Z0-9][a-zA-Z0-9_.-]*):(.*)$/s.exec(word)
  return match?.[1] === undefined ? null : [match[1], match[2] ?? '']
}

async function inside(
  agent: AgentClient,
  at: {
    readonly invocation: Invocation
    readonly project: string
    readonly place: readonly [string, string]
  },
): Promise<Inside> {
  const [service, path] = at.place
  const { project } = at
  const index = at.invocation.flags.count('index') ?? 1
  const rows = await agent.containers(project)
  const replicas = rows.filter((row) => row.service === service)
  const found =
    replicas.find((row) => row.container === `${project}-${service}-${index}`) ??
    (index === 1 ? replicas[0] : undefined) ??
    rows.find((row) => row.container === service)
  if (found === undefined)
    throw new PakError('not_found', `cp \`${service}\`: no such service in ${project}`, {
      hint: 'pak ps -a lists what there is',
    })
  if (path === '') throw new PakError('usage', `cp \`${service}:\`: no path given`)
  return { project, container: found.container, path }
}

interface Local {
  readonly path: string
  readonly invocation: Invocation
}

async function copyOut(agent: AgentClient, from: Inside, local: Local): Promise<void> {
  const { path, invocation } = local
  const signal = invocation.interrupts.signal
  if (path === '-') {
    const archive = await agent.readFiles(from, signal)
    for await (const chunk of archive as AsyncIterable<Buffer>)
      await invocation.terminal.print(chunk)
    checkWhole(archive)
    return
  }
  const there = await stat(path).catch(() => null)
  const contents = /(^|\/)\.\.?\/?$/.test(from.path) || /^\/*$/.test(from.path)
  if (contents && there === null) await mkdir(path)
  const archive = await agent.readFiles(from, signal)
  if (contents || there?.isDirectory() === true) return untar(archive, path)
  // Complete before it is in place: what is there is not half overwritten.
  const scratch = await mkdtemp(join(dirname(path), '.pak-cp-'))
  try {
    await untar(archive, scratch)
    const item = join(scratch, basename(from.path))
    if (there !== null && (await lstat(item)).isDirectory())
      throw new PakError('usage', `cp \`${path}\`: a folder cannot take the place of a file`)
    await rename(item, path)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function copyIn(agent: AgentClient, to: Inside, local: Local): Promise<void> {
  const { path, invocation } = local
  const signal = invocation.interrupts.signal
  if (path === '-') return agent.writeFiles(to, invocation.terminal.stdin, signal)
  const facts = await stat(path).catch(() => null)
  if (facts === null) throw new PakError('not_found', `cp \`${path}\`: not there`)
  const contents = path.endsWith('/.')
  const folder = contents ? path : dirname(path)
  const owner = invocation.flags.on('archive') ? [] : ['--owner=0', '--group=0']
  const name = contents ? '.' : basename(path)
  const args = ['--create', '--file=-', '--numeric-owner', ...owner, `--directory=${folder}`]
  const child = spawn('tar', [...args, '--', name], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = exitOf(child)
  await agent.writeFiles(to, child.stdout, signal)
  if ((await ended) > 1) throw new PakError('storage', `cp \`${path}\`: not all could be read`)
}

async function untar(archive: Readable, folder: string): Promise<void> {
  const args = [
    '--extract',
    '--file=-',
    '--no-same-owner',
    '--no-overwrite-dir',
    `--directory=${folder}`,
  ]
  const child = spawn('tar', args, { stdio: ['pipe', 'ignore', 'inherit'] })
  const ended = exitOf(child)
  await pipeline(archive, child.stdin)
  checkWhole(archive)
  if ((await ended) !== 0)
    throw new PakError('storage', `cp: tar could not unpack in \`${folder}\``)
}

/** An agent that fails in the middle can only break the stream. */
function checkWhole(archive: Readable): void {
  if ('complete' in archive && archive.complete === false)
    throw new PakError('agent', 'cp: the copy broke off')
}

function exitOf(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((done, fail) => {
    child.once('error', (cause) =>
      fail(new PakError('tool_missing', 'cp: tar is missing', { cause })),
    )
    child.once('close', (exitCode) => done(exitCode ?? 2))
  })
}
