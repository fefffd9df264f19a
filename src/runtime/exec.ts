import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { checkCommand } from './command.ts'
import { failureStatus } from './failure.ts'
import type { OciProcess } from './oci-types.ts'
import { entries, environmentOf, type ProcessInput, processFrame } from './process.ts'

/** A program to spawn with an argument array, from inside or outside the agent's mount namespace. */
export interface RuntimeInvocation {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Holds the process's description and the runtime's log; the caller removes it when the command ended. */
  readonly scratch: string
}

interface ExecProcess {
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** `null`: the container's own. */
  readonly workingDir: string | null
  readonly tty: boolean
  /** Value of `TERM`, only with a terminal. */
  readonly term?: string
}

/** A further process, as `pak exec` starts it: confined exactly like the first one. Pure. */
export function execProcess(input: ProcessInput, exec: ExecProcess): OciProcess {
  if (exec.command.length === 0)
    throw new PakError('usage', `run in \`${input.name}\`: no command given`)
  const frame = processFrame(input)
  return {
    ...frame,
    terminal: exec.tty,
    cwd: exec.workingDir ?? frame.cwd,
    args: exec.command,
    env: entries({
      ...environmentOf(input),
      ...(exec.tty ? { TERM: exec.term ?? 'xterm' } : {}),
      ...exec.environment,
    }),
  }
}

/** A process to be started in a running container. */
export interface RuntimeExec {
  readonly id: string
  /** The container's first process, as this host numbers it. */
  readonly pid: number
  readonly process: OciProcess
  /** A folder that does not exist yet. */
  readonly scratch: string
  /** Name of a cgroup within the container's that it begins in; `null`: in the container's. */
  readonly cgroup: string | null
}

interface Program {
  readonly path: string
  readonly root: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * The process goes through a file of mode 0600: its environment is no business of the host's `ps`. The
 * runtime's own errors go to a log beside it: they alone tell a command that could not be started from
 * one that ran and ended with the same status, see `execExitCode`. PakError as `checkCommand`.
 */
export async function execInvocation(
  kernel: Kernel,
  program: Program,
  exec: RuntimeExec,
): Promise<RuntimeInvocation> {
  await checkCommand(kernel, exec.pid, exec.process)
  await kernel.makeFolder(exec.scratch, 0o700)
  const file = posix.join(exec.scratch, 'process.json')
  await kernel.replaceFile(file, JSON.stringify(exec.process))
  const log = ['--log', posix.join(exec.scratch, 'log'), '--log-format', 'json']
  const cgroup = exec.cgroup === null ? [] : ['--cgroup', exec.cgroup]
  return {
    file: program.path,
    args: ['--root', program.root, ...log, 'exec', ...cgroup, '--process', file, exec.id],
    env: program.env,
    scratch: exec.scratch,
  }
}

/**
 * The exit status of `pak exec`: the command's own, 128+n by signal; 127 not found, 126 cannot be
 * executed, 125 when the runtime itself failed, whatever status the runtime then used (crun 255 or 1,
 * runc 1 or 255). `log` is the text of `<scratch>/log`, empty or `null` when there is none.
 */
export function execExitCode(ended: {
  readonly exitCode: number | null
  /** Number of the signal that ended the runtime itself. */
  readonly signal: number | null
  readonly log: string | null
}): number {
  if (ended.log !== null && /"level":\s*"(error|fatal)"/.test(ended.log))
    return failureStatus(ended.log)
  if (ended.exitCode !== null) return ended.exitCode
  return 128 + (ended.signal ?? 0)
}
