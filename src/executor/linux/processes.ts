import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises'
import type { Kernel } from '../../kernel/kernel.ts'
import type { ProcessRow } from '../../model/usage.ts'
import { broughtIn, type ProcessStat, readStat, readStatus } from '../../runtime/process-stat.ts'
import { userNames } from '../../runtime/user.ts'
import type { SampleRequest } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'
import { percent, rounded } from './usage-total.ts'

const COMMAND_BYTES = 4096
/** A process decides how long its arguments take to read: they lie in its own memory. */
const COMMAND_LIMIT_MS = 500
const BATCH = 64

interface Seen extends ProcessStat {
  readonly atMs: number
}

/** See `Executor.processes`. What ends meanwhile is left out. */
export async function projectProcesses(
  host: LinuxHost,
  { project, sampleMs }: SampleRequest,
  signal?: AbortSignal,
): Promise<readonly ProcessRow[]> {
  const { containers } = await host.records.of(project)
  const running = [...containers.values()].filter(({ run }) => run !== null)
  if (running.length === 0) return []
  const before = new Map<number, Seen>()
  for (const { name } of running)
    for (const one of await processesIn(host, project, name)) before.set(one.pid, one)
  await sleep(sampleMs, undefined, { ...(signal && { signal }) })
  const lists: (readonly ProcessRow[])[] = []
  for (const record of running) lists.push(await rowsOf(host, { project, record, before }))
  return lists.flat()
}

async function processesIn(
  host: LinuxHost,
  project: string,
  container: string,
): Promise<readonly Seen[]> {
  const pids = await host.cgroups.pids(host.layout.cgroup(project, container))
  const found: Seen[] = []
  for (const [index, pid] of pids.entries()) {
    const stat = readStat(host.kernel, pid)
    if (stat !== null && stat.state !== 'Z') found.push({ ...stat, atMs: performance.now() })
    if (index % BATCH === BATCH - 1) await breathe()
  }
  return found
}

interface Asked {
  readonly project: string
  readonly record: ContainerRecord
  readonly before: ReadonlyMap<number, Seen>
}

async function rowsOf(
  host: LinuxHost,
  { project, record, before }: Asked,
): Promise<readonly ProcessRow[]> {
  const { name: container, service, run } = record
  const [processes, names] = await Promise.all([
    processesIn(host, project, container),
    userNames(host.kernel, host.layout.rootfs(record.id)),
  ])
  const brought = broughtIn(processes, run?.pid ?? 0)
  const commands = await commandsOf(host.kernel, processes)
  return processes.flatMap((process, index): ProcessRow[] => {
    const { pid, parentPid, state, threads, cpuUsageUsec } = process
    const status = readStatus(host.kernel, pid)
    if (status === null) return []
    return [
      {
        ...{ project, service, container, pid },
        containerPid: status.innerPid,
        parentPid,
        user: names.get(status.uid) ?? String(status.uid),
        uid: status.uid,
        ...{ state, threads },
        cpuPercent: percentSince(process, before.get(pid)),
        cpuUsageUsec,
        memoryBytes: status.residentBytes,
        exec: brought.has(pid),
        command: commands[index] ?? `[${process.name}]`,
      },
    ]
  })
}

function percentSince(process: Seen, before: Seen | undefined): number {
  if (before === undefined || before.startTicks !== process.startTicks) return 0
  const usec = process.cpuUsageUsec - before.cpuUsageUsec
  return rounded(percent(usec, process.atMs - before.atMs))
}

/** One after another, so that one that hangs holds one thread of Node's few; then the rest go unread. */
async function commandsOf(
  kernel: Kernel,
  processes: readonly Seen[],
): Promise<readonly (string | null)[]> {
  const found: (string | null)[] = []
  const over = new AbortController()
  const readAll = async () => {
    for (const { pid } of processes) {
      if (over.signal.aborted) return
      const text = await kernel.readHead(`/proc/${pid}/cmdline`, COMMAND_BYTES)
      found.push(text?.replace(/\0+$/, '').replaceAll('\0', ' ') || null)
    }
  }
  const limit = sleep(COMMAND_LIMIT_MS, undefined, { signal: over.signal }).catch(() => {})
  try {
    await Promise.race([readAll(), limit])
  } finally {
    over.abort()
  }
  return [...found]
}
