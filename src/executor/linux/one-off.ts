import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PakError } from '../../errors.ts'
import { identify } from '../../kernel/process.ts'
import { monitorFile } from '../../runtime/monitor-process.ts'
import { findTool } from '../../runtime/oci.ts'
import type { OciSpec } from '../../runtime/oci-types.ts'
import type { ExecInvocation } from '../executor.ts'
import { attachContainers } from './attach.ts'
import { writeBundle } from './bundle.ts'
import type { LinuxHost } from './host.ts'
import { admitToPolicies } from './policies.ts'
import type { ContainerRecord } from './records.ts'
import { mountRoots } from './roots.ts'
import { release, statusOf } from './runs.ts'

interface Launch {
  readonly project: string
  readonly container: string
  readonly tty: boolean
  readonly pid: number
}

/** How long the container waits for its interfaces, and the agent for the container. */
const START_LIMIT_MS = 60_000

/**
 * How to start a container with the stdio of whoever spawns this: the OCI runtime's `run`, in the mount
 * namespace in which its root is mounted. Two hooks hold it up before its first process is let go: one
 * writes down its pid, one reads from a pipe until its interfaces are there.
 */
export async function launchOneOff(host: LinuxHost, launch: Launch): Promise<ExecInvocation> {
  const { project, container, tty } = launch
  const record = (await host.records.of(project)).containers.get(container)
  if (record === undefined || (await statusOf(host, project, record)).state !== 'created')
    throw new PakError('conflict', `run \`${container}\`: it is gone, or has run before`)
  const context = { project, signal: AbortSignal.timeout(START_LIMIT_MS), concurrency: 1 }
  const bundle = host.layout.bundle(record.id)
  const scratch = join(bundle, 'launch')
  const [nsenter, mkfifo, tee, cat] = await Promise.all(
    ['nsenter', 'mkfifo', 'tee', 'cat'].map((tool) => findTool(host.kernel, tool)),
  )
  const [outcome] = await mountRoots(host, [record], context)
  if (outcome instanceof PakError) throw outcome
  const hooks = [
    { path: tee, args: ['tee', join(scratch, 'state')], timeout: START_LIMIT_MS / 1000 },
    { path: cat, args: ['cat', join(scratch, 'gate')], timeout: START_LIMIT_MS / 1000 },
  ]
  await writeBundle(host, project, record, (config) => withHooks(config, { tty, hooks }))
  await host.kernel.makeFolder(scratch, 0o700)
  const made = await host.kernel.run(mkfifo ?? '', ['-m', '600', join(scratch, 'gate')])
  if (made.exitCode !== 0) throw new PakError('host', `mkfifo: ${made.stderr.trim()}`)
  // How it ended is known to the caller alone: whoever sees it end first waits for the caller's word.
  await host.kernel.replaceFile(monitorFile(bundle), String(launch.pid))
  void admit(host, record, context)
  const log = ['--log', join(scratch, 'log'), '--log-format', 'json']
  const runtime = [host.oci.path, '--root', host.oci.root, ...log]
  const run = ['run', '--bundle', bundle, record.id]
  return {
    file: nsenter ?? '',
    args: ['--target', String(process.pid), '--mount', '--', ...runtime, ...run],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C', LC_ALL: 'C' },
    scratch,
    cgroup: null,
  }
}

/** The caller's word on how it ended; what is left to do then is the same as for any other container. */
export async function endOneOff(
  host: LinuxHost,
  end: { readonly project: string; readonly container: string; readonly exitCode: number },
): Promise<void> {
  const record = (await host.records.of(end.project)).containers.get(end.container)
  if (record === undefined || record.exit !== null) return
  const failure = await host.kernel.readText(failurePath(host, record))
  if (record.run !== null) {
    const file = join(host.layout.exits, record.id)
    await host.kernel.replaceFile(file, String(end.exitCode & 0xff))
  } else {
    const now = host.now().toISOString()
    const exit = { exitCode: end.exitCode, oomKilled: false, byUser: false, restartAt: null }
    const whole = { ...exit, startedAt: now, finishedAt: now }
    await host.records.putContainer(end.project, { ...record, exit: whole })
    await release(host, [record], { concurrency: 1, signal: AbortSignal.timeout(START_LIMIT_MS) })
  }
  if (failure !== null) throw new PakError('network', `run \`${record.name}\`: ${failure}`)
}

const failurePath = (host: LinuxHost, { id }: ContainerRecord): string =>
  join(host.layout.storage(id), 'failure')

function withHooks(
  config: OciSpec,
  { tty, hooks }: { readonly tty: boolean; readonly hooks: readonly object[] },
): object {
  const { process } = config
  const named = process.env.some((entry) => entry.startsWith('TERM='))
  const env = tty && !named ? [...process.env, 'TERM=xterm'] : process.env
  return {
    ...config,
    process: { ...process, terminal: tty, env },
    hooks: { createRuntime: hooks },
  }
}

interface Admission {
  readonly project: string
  readonly signal: AbortSignal
  readonly concurrency: number
}

/** Never rejects: who waits for it is the container, and its caller, who is told at the end. */
async function admit(host: LinuxHost, record: ContainerRecord, context: Admission): Promise<void> {
  const scratch = join(host.layout.bundle(record.id), 'launch')
  try {
    const pid = await createdPid(host, scratch, context.signal)
    // It never came so far: the runtime has said why in its log.
    if (pid === null) return
    await admitToPolicies(host, context.project)
    const [outcome] = await attachContainers(host, [{ record, pid }], context)
    if (outcome instanceof PakError) throw outcome
    const process = await identify(host.kernel, pid)
    if (process === null) return
    const run = { ...process, startedAt: host.now().toISOString() }
    const now = host.records.find(record.id)?.record ?? record
    await host.records.putContainer(context.project, { ...now, run, exit: null })
    await openGate(join(scratch, 'gate'), context.signal)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    await host.kernel.replaceFile(failurePath(host, record), text).catch(warn)
    await host.oci.remove(record.id, true).catch(warn)
  }
}

const warn = (error: unknown): void => process.emitWarning(`run: ${String(error)}`)

/** `null` when the bundle is cleared away, or the time is up, before the container exists. */
async function createdPid(
  host: LinuxHost,
  scratch: string,
  signal: AbortSignal,
): Promise<number | null> {
  while (!signal.aborted && (await host.kernel.exists(scratch))) {
    const text = await host.kernel.readText(join(scratch, 'state'))
    const pid = Number(/"pid"\s*:\s*(\d+)/.exec(text ?? '')?.[1])
    if (pid > 1) return pid
    await sleep(3)
  }
  return null
}

/** Opening a pipe for writing fails with ENXIO as long as nobody reads; closing it is what is waited for. */
async function openGate(path: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      const gate = await open(path, constants.O_WRONLY | constants.O_NONBLOCK)
      await gate.close()
      return
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null
      if (code !== 'ENXIO' || signal.aborted) throw error
    }
    await sleep(2)
  }
}
