import { PakError } from '../../errors.ts'
import { signalProcess } from '../../kernel/process.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import { runHooks } from './hooks.ts'
import type { LinuxHost } from './host.ts'
import { type ContainerRecord, containerRecord, type Run } from './records.ts'

/** All `post_start` hooks of a container together. */
const HOOKS_LIMIT_MS = 300_000
const KILL_LIMIT_MS = 10_000

/** A container that runs, and whether its start can still be taken back. */
interface Greeted {
  readonly record: ContainerRecord
  running: boolean
}

/**
 * The end of a start: the `post_start` hooks of what runs now, as far as they are due. Where one fails
 * the container is killed and its start is taken back: it has started whole or not at all.
 */
export function greetContainers(
  host: LinuxHost,
  launches: readonly Greeted[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const together = { ...context, concurrency: Math.max(1, launches.length) }
  return forEach(launches, together, async (launch) => {
    const { project, hurry } = context
    const signal = hurry === undefined ? context.signal : AbortSignal.any([context.signal, hurry])
    const { name } = launch.record
    const { run, spec } = containerRecord(await host.records.of(project), 'start', name)
    if (run?.hooksDue !== true) return
    const hooks = spec.postStart ?? []
    try {
      const limitMs = HOOKS_LIMIT_MS
      await runHooks(host, { project, container: name, when: 'post_start', hooks, limitMs, signal })
    } catch (error) {
      // Interrupted, it is as it was: the next look finds that they are due.
      if (!(error instanceof PakError) || error.code === 'cancelled') throw error
      launch.running = !(await takeBack(host, project, { name, run }))
      throw error
    }
    const { hooksDue: _, ...rest } = run
    const now = containerRecord(await host.records.of(project), 'start', name)
    await host.records.putContainer(project, { ...now, run: rest })
  })
}

/** False where it has ended by itself: how, and what follows, is found as for any other end. */
async function takeBack(
  host: LinuxHost,
  project: string,
  { name, run }: { readonly name: string; readonly run: Run },
): Promise<boolean> {
  if (!(await signalProcess(host.kernel, run, 'SIGKILL'))) return false
  const cgroup = host.layout.cgroup(project, name)
  await host.cgroups.killAll(cgroup, AbortSignal.timeout(KILL_LIMIT_MS))
  const record = containerRecord(await host.records.of(project), 'start', name)
  await host.records.putContainer(project, { ...record, run: null, exit: null })
  return true
}

/** What a run that begins now has to say of its hooks. */
export const dueHooks = ({ spec }: Pick<ContainerRecord, 'spec'>): Pick<Run, 'hooksDue'> =>
  (spec.postStart ?? []).length > 0 ? { hooksDue: true } : {}
