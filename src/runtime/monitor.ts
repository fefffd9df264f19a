import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { runParallel } from '../kernel/parallel.ts'
import { commandFailure } from './failure.ts'
import { livingMonitor, monitorFile } from './monitor-process.ts'
import { findTool, type OciRuntime } from './oci.ts'

interface CreateRequest {
  readonly runtime: Pick<OciRuntime, 'path' | 'root' | 'environment'>
  readonly id: string
  /** For messages only. */
  readonly name: string
  /** Folder with `config.json`; gets `pid`, `conmon.pid`, `ctl`, `oom`. */
  readonly bundle: string
  /** A file, appended to in CRI's format (`k8s-file`). `null`: nothing is kept. */
  readonly log: MonitorLog | null
  /** Gets a file named by the id with the exit code, when the container ends. */
  readonly exitDir: string
  readonly signal?: AbortSignal
  /** Default 60 000. */
  readonly timeoutMs?: number
}

export interface MonitorLog {
  readonly path: string
  /**
   * After so many bytes the monitor opens `<path>.tmp`, cuts it, and puts it in the place of `<path>`. It
   * needs nobody for that. Source: reopen_k8s_file() in conmon 2.1.
   */
  readonly mostBytes: number
}

const TIMEOUT_MS = 60_000

/**
 * `create` of an OCI container with conmon as its parent, which holds its stdio (stdin is /dev/null),
 * writes its log and its exit code, and outlives pak. The container waits for `start`. Its pid. PakError
 * `command_not_found`, `command_not_executable`, `runtime`, `timeout`; then nothing of it is left.
 */
export async function createContainer(kernel: Kernel, request: CreateRequest): Promise<number> {
  const conmon = await findTool(kernel, 'conmon')
  const operation = `create \`${request.name}\``
  try {
    const { piped, exitCode } = await kernel.run(conmon, conmonArguments(request), {
      cwd: request.exitDir,
      env: request.runtime.environment,
      syncPipeVariable: '_OCI_SYNCPIPE',
      timeoutMs: request.timeoutMs ?? TIMEOUT_MS,
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    const { data, message } = parseSync(piped)
    if (data !== null && data > 1) return data
    const reason = message || `the monitor ended with status ${exitCode}`
    throw commandFailure(reason, operation, await commandOf(kernel, request))
  } catch (error) {
    await discard(kernel, request)
    throw error instanceof PakError ? givenUp(error, request) : error
  }
}

/** What did not answer is the runtime, whoever started it. */
const givenUp = (error: PakError, { name, runtime }: CreateRequest): PakError =>
  error.code === 'timeout'
    ? new PakError('timeout', `create \`${name}\`: ${runtime.path} did not come to an end`, {
        cause: error,
      })
    : error

/** What the bundle asks to run; `null` where that cannot be read. */
async function commandOf(kernel: Kernel, { bundle }: CreateRequest): Promise<string | null> {
  const text = await kernel.readText(posix.join(bundle, 'config.json'))
  if (text === null) return null
  try {
    const { process } = JSON.parse(text) as { process?: { args?: readonly unknown[] } }
    const command = process?.args?.[0]
    return typeof command === 'string' ? command : null
  } catch {
    return null
  }
}

/**
 * `create` of many containers of one runtime from one spawn. One pid or PakError each, in order. They share
 * the pipe on which the monitors report: who is missing there tries once more alone, and so gets a
 * reason of its own. The monitors go to the background before they are done: all of them work at once.
 */
export async function createContainers(
  kernel: Kernel,
  requests: readonly CreateRequest[],
): Promise<readonly (number | PakError)[]> {
  let reported: ReadonlySet<number> = new Set()
  try {
    if (requests.length > 1) reported = await createTogether(kernel, requests)
  } catch (error) {
    // Interrupted, or a runtime that hangs: to try each alone would take as long again.
    if (!(error instanceof PakError)) throw error
    await Promise.all(requests.map((request) => discard(kernel, request)))
    return requests.map((request) => givenUp(error, request))
  }
  return Promise.all(
    requests.map(async (request) => {
      const pid = Number(await kernel.readText(posix.join(request.bundle, 'pid')))
      if (reported.has(pid)) return pid
      try {
        if (requests.length > 1) await discard(kernel, request)
        return await createContainer(kernel, request)
      } catch (error) {
        if (error instanceof PakError) return error
        throw error
      }
    }),
  )
}

async function createTogether(
  kernel: Kernel,
  requests: readonly CreateRequest[],
): Promise<ReadonlySet<number>> {
  const [first] = requests
  if (first === undefined) return new Set()
  const conmon = await findTool(kernel, 'conmon')
  const { piped } = await runParallel(kernel, {
    file: conmon,
    argumentLists: requests.map(conmonArguments),
    parallel: 4,
    // conmon leaves a second `oom` file in its working folder: where nobody takes it for a container's.
    cwd: first.exitDir,
    env: first.runtime.environment,
    syncPipeVariable: '_OCI_SYNCPIPE',
    syncPipeLines: requests.length,
    timeoutMs: TIMEOUT_MS,
    ...(first.signal === undefined ? {} : { signal: first.signal }),
  })
  return new Set(
    piped.split('\n').flatMap((line) => {
      const { data } = parseSync(line)
      return data !== null && data > 1 ? [data] : []
    }),
  )
}

/** The true exit code, 128+n by signal; `null` while the monitor has not written it. */
export async function readExitCode(
  kernel: Kernel,
  { exitDir, id }: { readonly exitDir: string; readonly id: string; readonly bundle?: string },
): Promise<number | null> {
  const text = kernel.readNow(posix.join(exitDir, id))
  return text !== null && /^-?\d{1,3}$/.test(text.trim()) ? Number(text) : null
}

function conmonArguments({ runtime, id, name, bundle, log, exitDir }: CreateRequest): string[] {
  return [
    ['--api-version', '1'],
    ['--cid', id],
    ['--cuuid', id],
    ['--name', name],
    ['--runtime', runtime.path],
    ['--runtime-arg', `--root=${runtime.root}`],
    ['--bundle', bundle],
    ['--container-pidfile', posix.join(bundle, 'pid')],
    ['--conmon-pidfile', monitorFile(bundle)],
    ['--persist-dir', bundle],
    ['--exit-dir', exitDir],
    log === null
      ? ['--log-path', 'none']
      : ['--log-path', `k8s-file:${log.path}`, '--log-size-max', `${log.mostBytes}`],
    ['--log-level', 'error'],
    // The attach socket stays in the bundle, instead of a link in a folder of another program's.
    ['--full-attach'],
    // One fsync per container at its end is what fifty containers on one disk wait for.
    ['--no-sync-log'],
  ].flat()
}

/** The first line of conmon's sync pipe: `{"data": pid}`, or -1 with what the runtime said. */
function parseSync(text: string): { readonly data: number | null; readonly message: string } {
  const line = text.split('\n')[0] ?? ''
  try {
    const parsed: unknown = JSON.parse(line)
    if (parsed === null || typeof parsed !== 'object') return { data: null, message: line }
    const { data, message } = parsed as { readonly data?: unknown; readonly message?: unknown }
    return {
      data: typeof data === 'number' ? data : null,
      message: typeof message === 'string' ? message : '',
    }
  } catch {
    return { data: null, message: line }
  }
}

/** A create that failed or was given up: no half-made container stays with the runtime, nor whoever hung over it. */
async function discard(kernel: Kernel, { runtime, id, bundle }: CreateRequest): Promise<void> {
  const monitor = livingMonitor(kernel, { bundle, id })
  if (monitor !== null) {
    const children = kernel.readNow(`/proc/${monitor}/task/${monitor}/children`) ?? ''
    for (const pid of [monitor, ...children.trim().split(' ').map(Number)])
      if (pid > 1) kernel.kill(pid, 'SIGKILL')
  }
  const args = ['--root', runtime.root, 'delete', '--force', id]
  try {
    await kernel.run(runtime.path, args, { env: runtime.environment })
  } catch (error) {
    // The first failure is the one to tell; a runtime that hangs now has hung before.
    if (!(error instanceof PakError)) throw error
  }
}
