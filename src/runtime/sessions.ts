import type { ProcessStat } from './process-stat.ts'

type Member = Pick<ProcessStat, 'pid' | 'parentPid' | 'startTicks'>

/**
 * Process -> the oldest process that is left of what was put into the container from outside together with it: one
 * `pak exec`, one health check. A cgroup of its own says it for certain (`groups`, v2); else the parents, which lead to
 * somebody else than the container's first process. Whose parent has ended is then taken for the container's own.
 */
export function sessionsOf(
  members: readonly Member[],
  firstPid: number,
  groups: readonly ReadonlySet<number>[],
): ReadonlyMap<number, number> {
  const byPid = new Map(members.map((member) => [member.pid, member]))
  const found = new Map<number, number>()
  for (const group of groups) {
    const [oldest, ...rest] = members.filter(({ pid }) => group.has(pid)).sort(byAge)
    if (oldest !== undefined) for (const { pid } of [oldest, ...rest]) found.set(pid, oldest.pid)
  }
  for (const { pid } of members) {
    if (found.has(pid)) continue
    const top = topOf(pid, byPid, firstPid)
    if (top !== firstPid) found.set(pid, found.get(top) ?? top)
  }
  return found
}

function topOf(from: number, byPid: ReadonlyMap<number, Member>, firstPid: number): number {
  let at = from
  // Read one after another, parents could even form a ring.
  for (let steps = 0; at !== firstPid && steps < byPid.size; steps += 1) {
    const parent = byPid.get(at)?.parentPid
    if (parent === undefined || !byPid.has(parent)) return at
    at = parent
  }
  return at
}

/** Ticks are digits without leading zeros, and may be more than a number holds. */
const byAge = (one: Member, other: Member): number =>
  one.startTicks.length - other.startTicks.length ||
  (one.startTicks < other.startTicks ? -1 : one.startTicks > other.startTicks ? 1 : 0) ||
  one.pid - other.pid
