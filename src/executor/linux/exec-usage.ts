import type { ExecUsage } from '../../model/usage.ts'
import { readStatus } from '../../runtime/process-stat.ts'
import type { LinuxHost } from './host.ts'
import { commandsOf, type Members, membersOf, type Seen } from './members.ts'
import type { ContainerRecord } from './records.ts'
import { percent, rounded } from './usage-total.ts'

/** CPU time by the oldest process of what was put into a container from outside. */
export type ExecTimes = ReadonlyMap<number, { readonly atMs: number; readonly cpuUsec: number }>

/** The first of two readings. */
export async function execTimes(
  host: LinuxHost,
  project: string,
  record: ContainerRecord,
): Promise<ExecTimes> {
  const members = await membersOf(host, project, record)
  return new Map(
    sessionsIn(members).map((session) => [
      session.first.pid,
      { atMs: performance.now(), cpuUsec: cpuOf(members, session) },
    ]),
  )
}

/** The second. */
export async function execUsage(
  host: LinuxHost,
  project: string,
  { record, before }: { readonly record: ContainerRecord; readonly before: ExecTimes | undefined },
): Promise<readonly ExecUsage[]> {
  const members = await membersOf(host, project, record)
  const sessions = sessionsIn(members)
  const commands = await commandsOf(
    host.kernel,
    sessions.map(({ first }) => first),
  )
  return sessions.map((session, index) => {
    const { first, processes } = session
    const cpuUsageUsec = cpuOf(members, session)
    const from = before?.get(first.pid)
    const elapsedMs = performance.now() - (from?.atMs ?? 0)
    const usec = from === undefined ? 0 : Math.max(0, cpuUsageUsec - from.cpuUsec)
    const resident = processes.map(({ pid }) => readStatus(host.kernel, pid)?.residentBytes ?? 0)
    return {
      pid: first.pid,
      command: commands[index] ?? `[${first.name}]`,
      pids: processes.length,
      cpuPercent: rounded(percent(usec, elapsedMs)),
      cpuUsageUsec,
      memoryBytes: resident.reduce((sum, one) => sum + one, 0),
    }
  })
}

interface Session {
  readonly first: Seen
  readonly processes: readonly Seen[]
}

function sessionsIn({ processes, sessions }: Members): readonly Session[] {
  const firsts = processes.filter(({ pid }) => sessions.get(pid) === pid)
  return firsts.map((first) => ({
    first,
    processes: processes.filter(({ pid }) => sessions.get(pid) === first.pid),
  }))
}

function cpuOf({ groups }: Members, { first, processes }: Session): number {
  const group = groups.find(({ pids }) => pids.includes(first.pid))
  return group?.cpuUsageUsec ?? processes.reduce((sum, one) => sum + one.cpuUsageUsec, 0)
}
