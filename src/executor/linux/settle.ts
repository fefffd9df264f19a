import { isAlive } from '../../kernel/process.ts'
import type { RestartPolicy } from '../../model/desired.ts'
import type { LinuxHost } from './host.ts'
import { type OomFacts, oomFacts } from './oom-facts.ts'
import type { ContainerRecord, Exit } from './records.ts'
import { currentRun, exitOf, release } from './runs.ts'

/** What the restart policy has to decide on. */
export interface EndedRun {
  readonly container: string
  readonly service: string
  readonly replica: number
  readonly policy: RestartPolicy
  readonly exitCode: number
  readonly oomKilled: boolean
  readonly startedAt: string
  readonly finishedAt: string
  readonly restartCount: number
  /** `null`: the kernel did not kill it for memory. */
  readonly oom: OomFacts | null
}

/** RFC 3339 of the earliest next start; `null`: it stays stopped. */
export type RestartVerdict = (ended: EndedRun) => string | null

/**
 * Write down every run that ended by itself since the last look, with the restart policy's verdict,
 * and free what it held in the kernel: all of it, or all but the root of who is to run again. Returns what was found.
 */
export async function settle(
  host: LinuxHost,
  projectName: string,
  verdict: RestartVerdict,
): Promise<readonly EndedRun[]> {
  const { containers } = await host.records.of(projectName)
  const ended: { record: ContainerRecord; exit: Exit; facts: EndedRun }[] = []
  for (const record of containers.values()) {
    const run = record.exit === null || record.run !== null ? await currentRun(host, record) : null
    if (run === null || (await isAlive(host.kernel, run))) continue
    const exit = await exitOf(host, projectName, { record, run })
    const cgroup = host.layout.cgroup(projectName, record.name)
    const oom = exit.oomKilled ? oomFacts(host, cgroup, run.startedAt) : null
    const facts = { ...record, ...exit, oom, container: record.name, policy: record.spec.restart }
    ended.push({ record, exit, facts })
  }
  if (ended.length === 0) return []
  // Before its traces go: who looks meanwhile must find one or the other.
  const leaving: ContainerRecord[] = []
  const returning: ContainerRecord[] = []
  for (const { record, exit, facts } of ended) {
    const restartAt = verdict(facts)
    const group = restartAt === null ? leaving : returning
    group.push(record)
    await host.records.putContainer(projectName, {
      ...record,
      run: null,
      exit: { ...exit, restartAt },
      restartCount: record.restartCount + (restartAt === null ? 0 : 1),
    })
  }
  const context = { concurrency: 4, signal: AbortSignal.timeout(120_000) }
  await Promise.all([
    release(host, leaving, context),
    release(host, returning, context, { keepRoots: true }),
  ])
  return ended.map(({ facts }) => facts)
}
