import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel, RunResult } from '../kernel/kernel.ts'
import { packageOf } from '../kernel/packages.ts'
import { runParallel } from '../kernel/parallel.ts'
import { deleteByPattern } from './crun-delete.ts'
import { startByPipe } from './crun-start.ts'
import { execInvocation, type RuntimeExec, type RuntimeInvocation } from './exec.ts'
import { shieldRuntime } from './shield.ts'

export interface OciState {
  /** runtime-spec: `creating created running stopped`, and `paused`. */
  readonly status: string
  /** 0 once it has stopped. */
  readonly pid: number
}

/** An OCI runtime (crun, runc, ...) with its folder of state: `root`. */
export interface OciRuntime {
  /** As asked for: `crun`, or a path. */
  readonly name: string
  /** Absolute path of the program. */
  readonly path: string
  readonly root: string
  /** What it is to be called with. */
  readonly environment: Readonly<Record<string, string>>
  start(id: string): Promise<void>
  /** All of them, from one spawn at most. False when any failed: then ask each for its state. */
  startAll(ids: readonly string[]): Promise<boolean>
  /** A signal's name or number. A container that is gone is success, as for `remove`. */
  kill(id: string, signal: string): Promise<void>
  remove(id: string, force: boolean): Promise<void>
  /** By force. False when any failed, be it that it was gone already. */
  removeAll(ids: readonly string[]): Promise<boolean>
  pause(id: string): Promise<void>
  resume(id: string): Promise<void>
  /** `null` when the runtime does not know the container. */
  state(id: string): Promise<OciState | null>
  list(): Promise<readonly string[]>
  /** Prepare a further process in a container; PakError when it has no such command. */
  exec(exec: RuntimeExec): Promise<RuntimeInvocation>
  /** Whether it can begin a further process in a cgroup within the container's. Asked once. */
  takesCgroup(): Promise<boolean>
}

interface RuntimeOptions {
  /** A name searched for where host tools are, or an absolute path. */
  readonly name: string
  readonly root: string
}

/** Removing a cgroup is mostly waiting for the kernel: the more wait together, the shorter it is. */
const PARALLEL = 16
const TOOL_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
const ENVIRONMENT = { PATH: TOOL_FOLDERS.join(':'), LANG: 'C', LC_ALL: 'C' }
const GONE =
  /does not exist|container not found|no such file or directory|not running|process already finished/i

/** PakError `tool_missing` when there is no such program. */
export async function ociRuntime(kernel: Kernel, options: RuntimeOptions): Promise<OciRuntime> {
  const { name, root } = options
  const path = await findTool(kernel, name)
  const environment = { ...ENVIRONMENT, ...(await shieldRuntime(kernel, path)) }
  const call = async (operation: string, id: string, args: readonly string[]) => {
    const result = await kernel.run(path, ['--root', root, ...args], { env: environment })
    if (result.exitCode !== 0) throw failure(operation, id, result)
    return result
  }
  const callAll = async (ids: readonly string[], args: readonly string[]): Promise<boolean> => {
    if (ids.length === 0) return true
    const argumentLists = ids.map((id) => ['--root', root, ...args, id])
    const run = { file: path, argumentLists, parallel: PARALLEL, env: environment }
    return (await runParallel(kernel, { ...run, timeoutMs: 120_000 })).exitCode === 0
  }
  const orGone = (promise: Promise<unknown>): Promise<void> =>
    promise.then(
      () => {},
      (error: unknown) => {
        if (!(error instanceof PakError && GONE.test(error.message))) throw error
      },
    )
  let takes: Promise<boolean> | null = null
  return {
    name,
    path,
    root,
    environment,
    start: async (id) => void (await call('start', id, ['start', id])),
    startAll: (ids) =>
      callAll(
        ids.filter((id) => !startByPipe(kernel, { path, root }, id)),
        ['start'],
      ),
    removeAll: async (ids) =>
      (await deleteByPattern(kernel, { path, root, environment }, ids)) ??
      callAll(ids, ['delete', '--force']),
    kill: (id, signal) => orGone(call('kill', id, ['kill', id, signal])),
    remove: (id, force) =>
      orGone(call('remove', id, ['delete', ...(force ? ['--force'] : []), id])),
    pause: async (id) => void (await call('pause', id, ['pause', id])),
    resume: async (id) => void (await call('resume', id, ['resume', id])),
    state: async (id) => {
      const args = ['--root', root, 'state', id]
      const result = await kernel.run(path, args, { env: environment })
      if (result.exitCode === 0) return parseState(result.stdout)
      if (GONE.test(result.stderr)) return null
      throw failure('inspect', id, result)
    },
    list: async () => {
      const { stdout } = await call('list', root, ['list', '--quiet'])
      return stdout.split('\n').filter((line) => line !== '')
    },
    exec: (exec) => execInvocation(kernel, { path, root, env: environment }, exec),
    takesCgroup: () => {
      takes ??= kernel
        .run(path, ['exec', '--help'], { env: environment })
        .then(({ stdout }) => stdout.includes('--cgroup'))
      return takes
    },
  }
}

/** Absolute path of a host tool; PakError `tool_missing` names the package. */
export async function findTool(kernel: Kernel, name: string): Promise<string> {
  const candidates = name.startsWith('/')
    ? [name]
    : TOOL_FOLDERS.map((folder) => posix.join(folder, name))
  for (const path of candidates) if ((await kernel.stat(path))?.kind === 'file') return path
  const brings = packageOf(name)
  throw new PakError('tool_missing', `run \`${name}\`: not installed`, {
    hint:
      brings === null
        ? 'pak doctor shows what is missing'
        : `install the package ${brings}, or run pak doctor --install`,
  })
}

function parseState(text: string): OciState {
  const parsed: unknown = JSON.parse(text)
  const { status, pid } = parsed as { readonly status?: unknown; readonly pid?: unknown }
  return {
    status: typeof status === 'string' ? status : 'stopped',
    pid: typeof pid === 'number' ? pid : 0,
  }
}

function failure(operation: string, id: string, { exitCode, stderr }: RunResult): PakError {
  const reason = stderr.trim().slice(0, 1000)
  return new PakError('runtime', `${operation} \`${id}\`: ${reason || `exit status ${exitCode}`}`)
}
