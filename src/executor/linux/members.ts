import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises'
import type { Kernel } from '../../kernel/kernel.ts'
import type { ExecCgroup } from '../../runtime/cgroup-exec.ts'
import { type ProcessStat, readStat } from '../../runtime/process-stat.ts'
import { sessionsOf } from '../../runtime/sessions.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'

export interface Seen extends ProcessStat {
  readonly atMs: number
}

export interface Members {
  readonly processes: readonly Seen[]
  /** See `sessionsOf`; not in it: the container's own. */
  readonly sessions: ReadonlyMap<number, number>
  readonly groups: readonly ExecCgroup[]
}

const COMMAND_BYTES = 4096
/** A process decides how long its arguments take to read: they lie in its own memory. */
const COMMAND_LIMIT_MS = 500
const BATCH = 64

/** Who is in a container's cgroup now. */
export async function membersOf(
  host: LinuxHost,
  project: string,
  { name, run }: ContainerRecord,
): Promise<Members> {
  const path = host.layout.cgroup(project, name)
  const groups = await host.cgroups.execs(path)
  const processes: Seen[] = []
  for (const [index, pid] of (await host.cgroups.pids(path)).entries()) {
    const stat = readStat(host.kernel, pid)
    if (stat !== null && stat.state !== 'Z') processes.push({ ...stat, atMs: performance.now() })
    if (index % BATCH === BATCH - 1) await breathe()
  }
  const together = groups.map(({ pids }) => new Set(pids))
  return { processes, sessions: sessionsOf(processes, run?.pid ?? 0, together), groups }
}

/** One after another, so that one that hangs holds one thread of Node's few; then the rest go unread. */
export async function commandsOf(
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
