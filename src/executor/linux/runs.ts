import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { identify, isAlive } from '../../kernel/process.ts'
import { wantsRestart } from '../../model/restart-policy.ts'
import type { ContainerStatus } from '../../model/status.ts'
import { disconnect } from '../../network/bridge.ts'
import { readExitCode } from '../../runtime/monitor.ts'
import { monitorFile } from '../../runtime/monitor-process.ts'
import { unmountRootfs } from '../../storage/rootfs.ts'
import { forEach } from './batch.ts'
import { leaveCni } from './cni.ts'
import { dueHooks } from './greet.ts'
import type { LinuxHost } from './host.ts'
import { hostEnds } from './host-ends.ts'
import { takeChildren } from './lan-ends.ts'
import { monitorOf } from './monitors.ts'
import { dropNetns, isNetnsKept } from './netns.ts'
import type { ContainerRecord, Exit, Run } from './records.ts'

/** What the OCI runtime is told to do, in the bundle. */
const CONFIG = 'config.json'
/** Exit code of a container that ended where nobody could see it: the machine went down. */
const UNSEEN = -1
const MONITOR_LIMIT_MS = 2_000
/** Fifty that are waited for together would keep a processor busy with looking. */
const LONGEST_PAUSE_MS = 16

/** The run that the record names, or one that a killed agent had no time to write down. */
export async function currentRun(host: LinuxHost, record: ContainerRecord): Promise<Run | null> {
  return record.run ?? (await unrecordedRun(host, record))
}

export async function statusOf(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
): Promise<ContainerStatus> {
  const run = await currentRun(host, record)
  if (run === null) return record.exit === null ? { state: 'created' } : stopped(record.exit)
  if (await isAlive(host.kernel, run)) {
    const health =
      record.spec.healthcheck === null
        ? null
        : (host.healthOf(record.id, run.startedAt) ?? 'starting')
    const frozen = host.cgroups.isFrozen(host.layout.cgroup(projectName, record.name))
    const state = frozen ? 'paused' : 'running'
    return { state, pid: run.pid, startedAt: run.startedAt, health }
  }
  const exit = await exitOf(host, projectName, { record, run })
  const settled = await settledExit(host, projectName, record)
  if (settled !== null) return stopped(settled)
  const isWanted = wantsRestart(record.spec.restart, { ...record, ...exit })
  return { ...stopped(exit), ...(isWanted ? { undecided: true } : {}) }
}

/** An end that somebody wrote down, and cleared away, while this was looking. */
async function settledExit(
  host: LinuxHost,
  projectName: string,
  { name, id }: ContainerRecord,
): Promise<Exit | null> {
  const now = (await host.records.of(projectName)).containers.get(name)
  return now?.id === id && now.run === null ? now.exit : null
}

const stopped = (exit: Exit) => ({ state: 'stopped', ...exit }) as const

/** How the run ended, as its monitor wrote it down. */
export async function exitOf(
  host: LinuxHost,
  projectName: string,
  { record, run, byUser = false }: { record: ContainerRecord; run: Run; byUser?: boolean },
): Promise<Exit> {
  const seen = await awaitExitCode(host, record)
  const file = join(host.layout.exits, record.id)
  const finishedAt = seen === null ? null : await stat(file).catch(() => null)
  const oomKilled =
    seen === 137 && (await host.cgroups.oomKills(host.layout.cgroup(projectName, record.name))) > 0
  return {
    exitCode: seen ?? UNSEEN,
    oomKilled,
    startedAt: run.startedAt,
    finishedAt: (finishedAt?.mtime ?? host.now()).toISOString(),
    byUser,
    restartAt: null,
  }
}

/**
 * A process is gone a moment before its monitor has written how: wait as long as there is a monitor. One that has
 * nothing to say then hangs, and would for good: it goes too.
 */
async function awaitExitCode(host: LinuxHost, record: ContainerRecord): Promise<number | null> {
  const { id } = record
  const deadline = performance.now() + MONITOR_LIMIT_MS
  const monitor = Number(await host.kernel.readText(monitorFile(host.layout.bundle(id))))
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const watched = monitor > 1 && (await identify(host.kernel, monitor)) !== null
    const seen = await readExitCode(host.kernel, { exitDir: host.layout.exits, id })
    if (seen !== null || !watched) return seen
    if (performance.now() > deadline) {
      const hung = monitorOf(host, record)
      if (hung !== null) host.kernel.kill(hung, 'SIGKILL')
      return null
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/**
 * An agent killed between starting a container and recording it leaves a bundle with a pid file: the
 * OCI runtime knows whether that process was ever let go.
 */
async function unrecordedRun(host: LinuxHost, record: ContainerRecord): Promise<Run | null> {
  const pidFile = await host.kernel.readText(join(host.layout.bundle(record.id), 'pid'))
  const pid = Number(pidFile?.trim())
  if (pidFile === null || !Number.isSafeInteger(pid) || pid < 2) return null
  const process = await identify(host.kernel, pid)
  const state = await host.oci.state(record.id)
  if (state === null || state.status === 'created') return null
  const startTicks = process !== null && state.pid === pid ? process.startTicks : 'gone'
  return { pid, startTicks, startedAt: record.createdAt, ...dueHooks(record) }
}

/** Whether there is anything of an earlier run left, be it a root that waits for the next. */
export const isHeld = async (
  { kernel, layout }: LinuxHost,
  { id, cni = {} }: ContainerRecord,
): Promise<boolean> => Object.keys(cni).length > 0 || (await kernel.exists(layout.bundle(id)))

/** Whether something of an earlier run has to go before the next: its bundle's configuration goes last. */
export const hasLeftovers = async (
  { kernel, layout }: LinuxHost,
  { id, cni = {} }: ContainerRecord,
): Promise<boolean> =>
  Object.keys(cni).length > 0 || (await kernel.exists(join(layout.bundle(id), CONFIG)))

/**
 * Free everything in the kernel and under the run root that ended containers still hold. `keepRoots`: but not what they
 * see as `/`, which the next run finds where it is.
 */
export async function release(
  host: LinuxHost,
  records: readonly ContainerRecord[],
  context: { readonly concurrency: number; readonly signal: AbortSignal },
  { keepRoots = false }: { readonly keepRoots?: boolean } = {},
): Promise<void> {
  // Giving up half-way would leak: an interrupt does not reach in here, each call has its own bound.
  const whole = { ...context, signal: AbortSignal.timeout(120_000) }
  const ids = records.map(({ id }) => id)
  for (const id of ids) host.soundness.forget(id)
  // Its bundle goes with it, which holds what plugins need to undo their work.
  const left = await forEach(records, whole, (record) => leaveCni(host, record.id))
  const owing = new Set(ids.filter((_, index) => left[index] !== null))
  const remove = async () =>
    records.length > 1 && (await host.oci.removeAll(ids))
      ? []
      : forEach(ids, whole, (id) => host.oci.remove(id, true))
  const roots = records.map(({ id }) => host.layout.rootfs(id))
  const links = await Promise.all(records.map((record) => hostEnds(host, record)))
  const [outcomes, unmounted] = await Promise.all([
    remove(),
    keepRoots ? roots.map(() => null) : unmountRootfs(host.kernel, roots),
    disconnect(host.kernel, links.flat()),
    releaseNetns(host, ids, owing),
  ])
  const free = ids.filter((_, index) => unmounted[index] === null && left[index] === null)
  const remains = keepRoots
    ? (await Promise.all(free.map((id) => runFiles(host, id)))).flat()
    : free.flatMap((id) => [host.layout.bundle(id), host.layout.volatileStorage(id)])
  await host.kernel.removeTree(...remains, ...free.map((id) => join(host.layout.exits, id)))
  const failed = [...left, ...outcomes, ...unmounted].find((outcome) => outcome !== null)
  if (failed !== undefined && failed !== null) throw failed
}

/** What a run leaves beside its root, in the order in which it has to go: see `hasLeftovers`. */
async function runFiles({ kernel, layout }: LinuxHost, id: string): Promise<readonly string[]> {
  const bundle = layout.bundle(id)
  const names = (await kernel.list(bundle)).filter(
    (name) => join(bundle, name) !== layout.rootfs(id),
  )
  const files = names.filter((name) => name !== CONFIG)
  return [...files, ...names.filter((name) => name === CONFIG)].map((name) => join(bundle, name))
}

/** Where plugins have not undone all of their work, the way in stays for them. */
async function releaseNetns(
  host: LinuxHost,
  ids: readonly string[],
  owing: ReadonlySet<string>,
): Promise<void> {
  host.resolvers.close(ids)
  const isKept = await Promise.all(ids.map((id) => isNetnsKept(host, id)))
  const kept = ids.filter((_, index) => isKept[index])
  if (kept.length === 0) return
  await takeChildren(host, kept)
  await dropNetns(
    host,
    kept.filter((id) => !owing.has(id)),
  )
}
