import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { statOf } from '../../kernel/process.ts'
import { execExitCode } from '../../runtime/exec.ts'
import type { ExecRequest } from '../executor.ts'
import { innerInvocation } from './exec.ts'
import type { LinuxHost } from './host.ts'

export interface InsideRequest extends Omit<ExecRequest, 'tty'> {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Run a command in a container to its end and say how it ended. When its time is up it is killed with
 * everything that it started. Rejects with `timeout` or `cancelled` then.
 */
export async function runInside(
  host: LinuxHost,
  request: InsideRequest,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const invocation = await innerInvocation(host, { ...request, tty: false })
  const { scratch } = invocation
  const pidFile = join(scratch, 'pid')
  const cgroup = host.layout.cgroup(request.project, request.container)
  const at = invocation.args.indexOf('exec') + 1
  const args = [
    ...invocation.args.slice(0, at),
    '--pid-file',
    pidFile,
    ...invocation.args.slice(at),
  ]
  let cut: PakError | null = null
  // First what runs in the container: then the runtime sees its end, and leaves no orphan for others to bury.
  const end = (code: 'timeout' | 'cancelled', reason: string) => {
    cut ??= new PakError(code, `run in \`${request.container}\`: ${reason}`)
    killTree(host, pidFile, cgroup).catch(warn)
  }
  const timer = setTimeout(
    () => end('timeout', `no end after ${request.timeoutMs} ms`),
    request.timeoutMs,
  )
  const cancel = () => end('cancelled', 'interrupted')
  request.signal.addEventListener('abort', cancel, { once: true })
  if (request.signal.aborted) cancel()
  try {
    const { exitCode, stdout, stderr } = await host.kernel.run(invocation.file, args, {
      env: invocation.env,
      timeoutMs: request.timeoutMs + KILL_MARGIN_MS,
      mostOutputBytes: OUTPUT_BYTES,
    })
    if (cut !== null) throw cut
    const log = await host.kernel.readText(join(scratch, 'log'))
    return { exitCode: execExitCode({ exitCode, signal: null, log }), output: stdout + stderr }
  } catch (error) {
    // The runtime was killed, what it started in the container was not.
    if (cut !== null) await killTree(host, pidFile, cgroup)
    throw cut ?? error
  } finally {
    clearTimeout(timer)
    request.signal.removeEventListener('abort', cancel)
    await host.kernel.removeTree(scratch)
  }
}

/** Nobody keeps more of it. */
const OUTPUT_BYTES = 64 * 1024
/** A runtime that does not see the end of what it started is killed itself after that. */
const KILL_MARGIN_MS = 2_000

const warn = (error: unknown): void => process.emitWarning(`run in container: ${String(error)}`)

/** A process that stands still starts no other while it is looked for. */
async function killTree(host: LinuxHost, pidFile: string, cgroup: string): Promise<void> {
  const { kernel } = host
  const pid = Number((await kernel.readText(pidFile))?.trim())
  if (!Number.isSafeInteger(pid) || pid < 2) return
  kernel.kill(pid, 'SIGSTOP')
  const below = await descendants(kernel, pid)
  // Whose parent has ended is nobody's child any more, but the runtime began a session for the command.
  const session = sessionOf(kernel, pid)
  const inside = (await host.cgroups.pids(cgroup)).filter(
    (member) => session !== null && sessionOf(kernel, member) === session,
  )
  for (const member of [...inside, ...below, pid]) kernel.kill(member, 'SIGKILL')
}

/** proc_pid_task_tid_children(5); a child that ended meanwhile is simply not there. */
async function descendants(kernel: Kernel, pid: number): Promise<readonly number[]> {
  const threads = await kernel.list(`/proc/${pid}/task`)
  const texts = await Promise.all(
    threads.map((thread) => kernel.readText(`/proc/${pid}/task/${thread}/children`)),
  )
  const children = texts.flatMap((text) => (text ?? '').split(' ').filter(Boolean).map(Number))
  for (const child of children) kernel.kill(child, 'SIGSTOP')
  const below = await Promise.all(children.map((child) => descendants(kernel, child)))
  return [...below.flat(), ...children]
}

const sessionOf = (kernel: Kernel, pid: number): string | null => statOf(kernel, pid)(6)
