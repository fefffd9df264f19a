import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises'
import type { NetworkMode } from '../../model/desired.ts'
import type { StateWord } from '../../model/status.ts'
import type { Usage, UsageRow } from '../../model/usage.ts'
import { parseTraffic, type Traffic } from '../../network/traffic.ts'
import type { CgroupUsage } from '../../runtime/cgroup-usage.ts'
import { readStat, readStatus } from '../../runtime/process-stat.ts'
import type { SampleRequest } from '../executor.ts'
import { type ExecTimes, execTimes, execUsage } from './exec-usage.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord, Run } from './records.ts'
import { NOTHING, percent, rounded, serviceRow } from './usage-total.ts'

/** After so many containers the agent looks whether somebody else waits for it. */
const BATCH = 16

interface Reading {
  readonly atMs: number
  readonly cpuUsec: number
  readonly execs: ExecTimes
}

/** See `Executor.usage`. Read from the kernel's files only; what has ended meanwhile is no error. */
export async function projectUsage(
  host: LinuxHost,
  { project, sampleMs }: SampleRequest,
  signal?: AbortSignal,
): Promise<readonly UsageRow[]> {
  const before = await readings(host, project)
  if (before.size > 1) await sleep(sampleMs, undefined, { ...(signal && { signal }) })
  const rows: UsageRow[] = []
  for (const record of await recordsOf(host, project)) {
    rows.push(await containerRow(host, project, { record, before: before.get(record.id) }))
    if (rows.length % BATCH === 0) await breathe()
  }
  const services = [...new Set(rows.map(({ service }) => service))].flatMap((service) => {
    const replicas = rows.filter((row) => row.service === service)
    return replicas.length > 1 ? [serviceRow(replicas)] : []
  })
  return [...rows, ...services, ...projectRow(host, project, { rows, before: before.get(project) })]
}

const recordsOf = async (host: LinuxHost, project: string): Promise<readonly ContainerRecord[]> =>
  [...(await host.records.of(project)).containers.values()].sort((a, b) =>
    a.service === b.service ? a.replica - b.replica : a.service < b.service ? -1 : 1,
  )

/** CPU time now, by container id, and the project's own by its name. */
async function readings(
  host: LinuxHost,
  project: string,
): Promise<ReadonlyMap<string, Reading | null>> {
  const found = new Map<string, Reading | null>()
  const read = (path: string, execs: ExecTimes): Reading | null => {
    const cpuUsec = host.cgroups.cpuUsec(path)
    return cpuUsec === null ? null : { atMs: performance.now(), cpuUsec, execs }
  }
  for (const record of await recordsOf(host, project)) {
    if (record.run === null) continue
    const execs = await execTimes(host, project, record)
    found.set(record.id, read(host.layout.cgroup(project, record.name), execs))
  }
  found.set(project, read(host.layout.projectCgroup(project), new Map()))
  return found
}

interface Observed {
  readonly record: ContainerRecord
  readonly before: Reading | null | undefined
}

async function containerRow(
  host: LinuxHost,
  project: string,
  { record, before }: Observed,
): Promise<UsageRow> {
  const { id, name: container, service, run } = record
  const identity = { scope: 'container', project, service, container, id } as const
  const execs =
    run === null ? [] : await execUsage(host, project, { record, before: before?.execs })
  const used = run === null ? null : host.cgroups.usage(host.layout.cgroup(project, container))
  const traffic = run === null ? null : trafficOf(host, record.spec.networkMode, run.pid)
  // Looked at last: all that was read of this pid was the container's, and no stranger's who got it since.
  if (run === null || used === null || !isThere(host, run))
    return { ...identity, state: endedState(record), ...NOTHING, execs: [] }
  const usage = usageOf(used, { cpuPercent: percentSince(used, before), traffic })
  // Without the memory controller there is still what its first process has.
  const memoryBytes = used.workingSetBytes || (readStatus(host.kernel, run.pid)?.residentBytes ?? 0)
  return { ...identity, state: used.frozen ? 'paused' : 'running', ...usage, memoryBytes, execs }
}

function isThere({ kernel }: LinuxHost, { pid, startTicks }: Run): boolean {
  const stat = readStat(kernel, pid)
  return stat?.startTicks === startTicks && stat.state !== 'Z'
}

function endedState({ run, exit }: ContainerRecord): StateWord {
  if (run === null && exit === null) return 'created'
  return exit !== null && exit.restartAt !== null ? 'restarting' : 'stopped'
}

function trafficOf({ kernel }: LinuxHost, { kind }: NetworkMode, pid: number): Traffic | null {
  if (kind === 'none') return { rxBytes: 0, txBytes: 0 }
  if (kind !== 'bridge') return null
  const text = kernel.readNow(`/proc/${pid}/net/dev`)
  return text === null ? null : parseTraffic(text)
}

/** Of a container that has just begun nothing is measured yet. */
function percentSince(used: CgroupUsage, before: Reading | null | undefined): number {
  if (before === null || before === undefined) return 0
  const elapsedMs = performance.now() - before.atMs
  const from = used.cpuUsageUsec < before.cpuUsec ? 0 : before.cpuUsec
  return percent(used.cpuUsageUsec - from, elapsedMs)
}

function usageOf(
  used: CgroupUsage,
  { cpuPercent, traffic }: { readonly cpuPercent: number; readonly traffic: Traffic | null },
): Usage {
  return {
    cpuPercent: rounded(cpuPercent),
    cpuUsageUsec: used.cpuUsageUsec,
    periods: used.periods,
    throttledPeriods: used.throttledPeriods,
    throttledUsec: used.throttledUsec,
    memoryBytes: used.workingSetBytes,
    memoryChargedBytes: used.memoryBytes,
    memoryPeakBytes: used.memoryPeakBytes,
    memoryLimitBytes: used.memoryLimitBytes,
    memoryAnonBytes: used.anonBytes,
    memoryFileBytes: used.fileBytes,
    memoryKernelBytes: used.kernelBytes,
    swapBytes: used.swapBytes,
    oomKills: used.oomKills,
    pids: used.pids,
    pidsLimit: used.pidsLimit,
    blockReadBytes: used.blockReadBytes,
    blockWriteBytes: used.blockWriteBytes,
    netRxBytes: traffic?.rxBytes ?? null,
    netTxBytes: traffic?.txBytes ?? null,
    cpuPressurePercent: used.pressure.cpu,
    memoryPressurePercent: used.pressure.memory,
    ioPressurePercent: used.pressure.io,
  }
}

/** The project's own cgroup knows better than a sum: shared pages once, and what ended is in it, too. */
function projectRow(
  host: LinuxHost,
  project: string,
  {
    rows,
    before,
  }: { readonly rows: readonly UsageRow[]; readonly before: Reading | null | undefined },
): readonly UsageRow[] {
  const used = host.cgroups.usage(host.layout.projectCgroup(project))
  if (used === null) return []
  const sums = serviceRow(rows)
  const own = usageOf(used, { cpuPercent: percentSince(used, before), traffic: null })
  return [
    {
      ...sums,
      ...own,
      scope: 'project',
      service: null,
      // v1 counts kills only where they happened, and the limit of each container throttles by itself.
      oomKills: Math.max(used.oomKills, sums.oomKills ?? 0),
      netRxBytes: sums.netRxBytes,
      netTxBytes: sums.netTxBytes,
    },
  ]
}
