import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { mkdir, readFile, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorFromFacts, PakError } from '../errors.ts'
import { anyMonitor } from '../executor/linux/monitors.ts'
import { hostKernel } from '../kernel/host.ts'
import { packageOf } from '../kernel/packages.ts'
import type { ErrorFacts } from '../model/events.ts'
import { AgentClient } from './client.ts'
import { acquireLock } from './lock.ts'
import { NODE_FLAGS } from './node-flags.ts'
import type { Roots } from './parts.ts'
import { answers, isOutdated, socketPath } from './running.ts'
import { bindSockets } from './sockets.ts'
import { startSupervisor } from './supervise.ts'

const LOCK_TIMEOUT_MS = 15_000
const START_TIMEOUT_MS = 30_000
const LOG_LINES = 8

export interface LaunchOptions {
  /** Default: this program, as `agent run`. */
  readonly program?: readonly string[]
  /** It stays when there is nothing to look after. */
  readonly stay?: boolean
  /** Called when a new agent was spawned, long before it answers. */
  readonly onSpawn?: () => void
}

/**
 * A client of the agent of these roots; starts one when none answers, and again later should it have
 * gone meanwhile. An agent older than this program is replaced; its containers run on.
 */
export async function ensureAgent(
  roots: Roots,
  signal?: AbortSignal,
  options: LaunchOptions = {},
): Promise<AgentClient> {
  await ensureRunning(roots, signal, options)
  const revive = () => ensureRunning(roots, signal, options)
  return new AgentClient(socketPath(roots), revive)
}

/** The agent that runs now; `null` when none does. */
export async function connectAgent(roots: Roots): Promise<AgentClient | null> {
  const path = socketPath(roots)
  return (await answers(path)) ? new AgentClient(path, null) : null
}

/** The same agent for whoever wants it in the foreground: resolves to its exit status when it ends. */
export async function superviseInForeground(
  roots: Roots,
  options: LaunchOptions = {},
): Promise<number> {
  const path = socketPath(roots)
  if (await answers(path))
    throw new PakError('agent', `agent \`${roots.runRoot}\`: one runs already`, {
      hint: 'pak agent stop ends it; containers run on',
    })
  const supervisor = await underLock(roots, undefined, () => start(roots, options, false))
  const pass = (name: NodeJS.Signals) => supervisor.kill(name)
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, pass)
  const [code] = (await once(supervisor, 'exit')) as [number | null]
  return code ?? 1
}

async function ensureRunning(
  roots: Roots,
  signal: AbortSignal | undefined,
  options: LaunchOptions,
): Promise<void> {
  const path = socketPath(roots)
  if ((await answers(path)) && !(await isOutdated(roots))) return
  await underLock(roots, signal, async () => {
    if (await answers(path)) {
      if (!(await isOutdated(roots))) return
    } else return ready(roots, await start(roots, options, true), signal)
  })
  // The old agent takes the lock itself to leave.
  if (!(await isOutdated(roots))) return
  await new AgentClient(path, null).stop()
  return ensureRunning(roots, signal, options)
}

/** An agent that leaves removes the folder that the lock is in: then the next attempt makes it anew. */
async function underLock<T>(
  { runRoot }: Roots,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + LOCK_TIMEOUT_MS
  for (;;) {
    try {
      return await locked(runRoot, signal, work)
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (missing && performance.now() < deadline) continue
      // Nobody lives in a folder that is empty.
      await rmdir(runRoot).catch(() => {})
      throw explained(error, runRoot)
    }
  }
}

/**
 * Not in the loop's own body: as esbuild lowers `using`, a turn that has failed leaves its error in a
 * `var`, and every later turn throws it again.
 */
async function locked<T>(
  runRoot: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(runRoot, { recursive: true, mode: 0o700 })
  await using _lock = await acquireLock(hostKernel, join(runRoot, 'lock'), {
    timeoutMs: LOCK_TIMEOUT_MS,
    signal,
  })
  return await work()
}

function explained(error: unknown, runRoot: string): unknown {
  if (!(error instanceof Error && 'code' in error) || error instanceof PakError) return error
  if (error.code !== 'EACCES' && error.code !== 'EPERM' && error.code !== 'EROFS') return error
  return new PakError('host', `start agent in \`${runRoot}\`: ${error.code}`, {
    hint: 'pak needs root',
    cause: error,
  })
}

async function start(
  roots: Roots,
  options: LaunchOptions,
  detached: boolean,
): Promise<ChildProcess> {
  const monitor = await anyMonitor(hostKernel, roots.runRoot)
  const supervision = {
    runRoot: roots.runRoot,
    program: [
      ...(options.program ?? ownProgram()),
      ...agentArguments(roots),
      ...(options.stay === true ? ['--stay'] : []),
    ],
    namespace: monitor === null ? 'new' : { ofPid: monitor },
    detached,
  } as const
  using sockets = await bindSockets(socketPath(roots))
  // No await from here to the end of the block: see bindSockets.
  sockets.publish()
  const supervisor = startSupervisor({ ...supervision, fds: sockets.fds })
  if (detached) supervisor.unref()
  options.onSpawn?.()
  return supervisor
}

/** The bundle under the same Node; its heap is kept small. */
export function ownProgram(): readonly string[] {
  const { node, script } = ownScript()
  return [...node, ...NODE_FLAGS, script, 'agent', 'run']
}

/** This program, as it was started. */
export function ownScript(): { readonly node: readonly string[]; readonly script: string } {
  const [node = process.execPath, script] = process.argv
  if (script === undefined) throw new PakError('agent', 'start agent: no program to start')
  return { node: [node, ...process.execArgv], script: realpathSync(script) }
}

export const agentArguments = ({ root, runRoot, runtime }: Roots): readonly string[] => [
  '--root',
  root,
  '--run-root',
  runRoot,
  '--runtime',
  runtime,
]

/** Resolves when the new agent answers; rejects as soon as its supervisor is gone. */
async function ready(
  roots: Roots,
  supervisor: ChildProcess,
  signal: AbortSignal | undefined,
): Promise<void> {
  const settled = new AbortController()
  const died = once(supervisor, 'exit', { signal: settled.signal }).then(
    async () => {
      throw await startError(roots, 'it ended at once')
    },
    (error: unknown) => {
      if (settled.signal.aborted) return
      throw toolMissing(error)
    },
  )
  const tooLate = sleep(START_TIMEOUT_MS, null, { signal: settled.signal }).then(async () => {
    throw await startError(roots, `no answer after ${START_TIMEOUT_MS} ms`)
  })
  const answered = new AgentClient(socketPath(roots), null).status(signal)
  try {
    await Promise.race([answered, died, tooLate])
  } finally {
    settled.abort()
    for (const loser of [answered, died, tooLate]) loser.catch(() => {})
  }
}

function toolMissing(cause: unknown): PakError {
  const file = cause instanceof Error && 'path' in cause ? String(cause.path) : 'unshare'
  return new PakError('tool_missing', `run \`${file}\`: not installed`, {
    hint: `install the package ${packageOf(file) ?? 'util-linux'}`,
    cause,
  })
}

async function startError({ runRoot }: Roots, reason: string): Promise<Error> {
  const told = join(runRoot, 'agent.error')
  const facts = await readFile(told, 'utf8').catch(() => null)
  await rm(told, { force: true })
  if (facts !== null) {
    await sweep(runRoot)
    // Only the agent writes it.
    return errorFromFacts(JSON.parse(facts) as ErrorFacts)
  }
  const path = join(runRoot, 'agent.log')
  const text = await readFile(path, 'utf8').catch(() => '')
  const tail = text.trimEnd().split('\n').slice(-LOG_LINES).join('\n  ')
  return new PakError('agent', `start agent: ${reason}`, { hint: `${path} ends:\n  ${tail}` })
}

/** What an agent that could not begin had made by then; whatever holds something stays. */
async function sweep(runRoot: string): Promise<void> {
  await rm(join(runRoot, 'agent.log'), { force: true })
  for (const name of ['containers', 'exits', 'oci', 'volatile'])
    await rmdir(join(runRoot, name)).catch(() => {})
}
