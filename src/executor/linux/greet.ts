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

/**
 * The end of a start: the `post_start` hooks of what runs now, as far as they are due. Where one fails
 * the container is killed, so that it has started whole or not at all, and is left to its restart policy.
 */
export function greetContainers(
  host: LinuxHost,
  records: readonly ContainerRecord[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const together = { ...context, concurrency: Math.max(1, records.length) }
  return forEach(records, together, async ({ name }) => {
    const { project, signal } = context
    const { run, spec } = containerRecord(await host.records.of(project), 'start', name)
    if (run?.hooksDue !== true) return
    const hooks = spec.postStart ?? []
    try {
      const limitMs = HOOKS_LIMIT_MS
      await runHooks(host, { project, container: name, when: 'post_start', hooks, limitMs, signal })
    } catch (error) {
      // Interrupted, it is as it was: the next look finds that they are due.
      if (!(error instanceof PakError) || error.code === 'cancelled') throw error
      await kill(host, { project, name, run })
      throw error
    }
    const { hooksDue: _, ...rest } = run
    const now = containerRecord(await host.records.of(project), 'start', name)
    await host.records.putContainer(project, { ...now, run: rest })
  })
}

/** How it ended is found, and decided on, like any other end. */
async function kill(
  host: LinuxHost,
  { project, name, run }: { readonly project: string; readonly name: string; readonly run: Run },
): Promise<void> {
  await signalProcess(host.kernel, run, 'SIGKILL')
  const cgroup = host.layout.cgroup(project, name)
  await host.cgroups.killAll(cgroup, AbortSignal.timeout(KILL_LIMIT_MS))
}

/** What a run that begins now has to say of its hooks. */
export const dueHooks = ({ spec }: Pick<ContainerRecord, 'spec'>): Pick<Run, 'hooksDue'> =>
  (spec.postStart ?? []).length > 0 ? { hooksDue: true } : {}
