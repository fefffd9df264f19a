import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessRow } from '../../model/usage.ts'
import { readStatus } from '../../runtime/process-stat.ts'
import { userNames } from '../../runtime/user.ts'
import type { SampleRequest } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import { commandsOf, membersOf, type Seen } from './members.ts'
import type { ContainerRecord } from './records.ts'
import { percent, rounded } from './usage-total.ts'

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
  for (const record of running)
    for (const one of (await membersOf(host, project, record)).processes) before.set(one.pid, one)
  await sleep(sampleMs, undefined, { ...(signal && { signal }) })
  const lists: (readonly ProcessRow[])[] = []
  for (const record of running) lists.push(await rowsOf(host, { project, record, before }))
  return lists.flat()
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
  const { name: container, service } = record
  const [{ processes, sessions }, names] = await Promise.all([
    membersOf(host, project, record),
    userNames(host.kernel, host.layout.rootfs(record.id)),
  ])
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
        exec: sessions.has(pid),
        session: sessions.get(pid) ?? null,
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
