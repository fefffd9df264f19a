import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { ExecEnd } from '../../agent/exec-end.ts'
import type { ContainerRow } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { ExecInvocation } from '../../executor/executor.ts'
import { hostKernel } from '../../kernel/host.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

/** Runs a command inside a container with pak's own stdio; resolves to its exit status. */
export async function exec(invocation: Invocation): Promise<number> {
  const { flags, globals, interrupts, words, terminal } = invocation
  const [service = '', ...command] = words
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const rows = await agent.containers(project)
  const target = chosen(rows, { project, service, index: flags.count('index') ?? 1 })
  const interactive = terminal.stdin.isTTY === true && terminal.stdout.isTTY === true
  const tty = (flags.on('tty') || interactive) && !flags.off('tty')
  if (tty && terminal.stdin.isTTY !== true)
    throw new PakError('usage', 'exec -t: standard input is not a terminal', {
      hint: 'leave -t away, or give -T',
    })
  const how = await agent.exec({
    project,
    container: target.container,
    command,
    environment: variables(flags.list('env'), globals.environment),
    user: flags.text('user'),
    workingDir: flags.text('workdir'),
    tty,
  })
  interrupts.ignore()
  return runToEnd(how, tty)
}

interface Wanted {
  readonly project: string
  readonly service: string
  readonly index: number
}

function chosen(rows: readonly ContainerRow[], { project, service, index }: Wanted): ContainerRow {
  const replicas = rows.filter((row) => row.service === service)
  const numbered = `${project}-${service}-${index}`
  const found =
    replicas.find((row) => row.container === numbered) ??
    (index === 1 ? replicas[0] : undefined) ??
    rows.find((row) => row.container === service)
  if (found === undefined)
    throw new PakError('not_found', `exec \`${service}\`: no such service in ${project}`, {
      hint: 'pak ps -a lists what there is',
    })
  if (found.state !== 'running')
    throw new PakError('conflict', `exec \`${found.container}\`: it is ${found.state}`, {
      hint: `pak ${found.state === 'paused' ? 'unpause' : 'start'} ${found.service}`,
    })
  return found
}

/** `NAME=value`, or `NAME` to hand on pak's own. */
export function variables(
  texts: readonly string[],
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const pairs = texts.flatMap((text) => {
    const at = text.indexOf('=')
    const name = at < 0 ? text : text.slice(0, at)
    const value = at < 0 ? own[name] : text.slice(at + 1)
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(pairs)
}

/** Spawns it with pak's own stdio; resolves to its exit status. */
export async function runToEnd(
  invocation: ExecInvocation,
  tty: boolean,
  beforeEnd: () => Promise<void> = async () => {},
): Promise<number> {
  const { file, args, env } = invocation
  // Without a terminal of its own the command must not get this one: it could type into it.
  const own = [process.stdin, process.stdout, process.stderr]
  const stdio = own.map(({ isTTY }) => (isTTY && !tty ? 'pipe' : 'inherit') as 'pipe' | 'inherit')
  const child = spawn(file, [...args], { stdio, env: { ...env } })
  if (child.stdin !== null) process.stdin.pipe(child.stdin).on('error', () => {})
  child.stdout?.pipe(process.stdout)
  child.stderr?.pipe(process.stderr)
  // A terminal sends ^C to the runtime itself; what is sent to pak alone is handed on, and so to the command.
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name))
  const ending = new Promise<ExecEnd>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new PakError('runtime', `exec: ${file} did not start`, { cause })),
    )
    child.once('close', (exitCode, signal) =>
      resolve({ exitCode, signal: signal === null ? null : constants.signals[signal] }),
    )
  })
  const { endExec } = await import('../../agent/exec-end.ts')
  const end = await ending
  await beforeEnd()
  return endExec(hostKernel, invocation, end)
}
