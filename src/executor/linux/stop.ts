import { constants } from 'node:os'
import { PakError } from '../../errors.ts'
import { isAlive, signalProcess } from '../../kernel/process.ts'
import type { StepOf } from '../../model/plan.ts'
import { signalNumber } from '../../runtime/signals.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { expected, forEach } from './batch.ts'
import { runHooks } from './hooks.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord, Exit, Run } from './records.ts'
import { currentRun, exitOf, release } from './runs.ts'

/** After SIGKILL a process ends as soon as the kernel lets it; what hangs longer than this hangs in the kernel. */
const KILL_LIMIT_MS = 10_000

/**
 * Signal, grace period, then the whole cgroup is killed; then the end is recorded and the kernel objects
 * go. All of a batch wait side by side: together they take the longest grace, not the sum.
 */
export async function stopContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.stop'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const { containers } = await host.records.of(context.project)
  const ended: { record: ContainerRecord; exit: Exit | null }[] = []
  const outcomes = await forEach(
    steps,
    { ...context, concurrency: steps.length },
    async ({ id, args }) => {
      const record = containers.get(args.container)
      if (record === undefined) return
      const run = await currentRun(host, record)
      if (run !== null)
        await end(host, { record, run, stepId: id, project: context.project, ...args }, context)
      const exit =
        run === null
          ? record.exit && { ...record.exit, byUser: args.byUser || record.exit.byUser }
          : await exitOf(host, context.project, { record, run, byUser: args.byUser })
      // Who is killed before it is started again finds that this is due.
      const restartAt = args.thenStart === true && exit !== null ? exit.finishedAt : null
      ended.push({ record, exit: exit && { ...exit, restartAt } })
    },
  )
  // Before its traces go: who looks meanwhile must find one or the other.
  for (const { record, exit } of ended)
    await host.records.putContainer(context.project, { ...record, run: null, exit })
  await release(
    host,
    ended.map(({ record }) => record),
    context,
  )
  return outcomes
}

export async function killContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.kill'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const { containers } = await host.records.of(context.project)
  return forEach(steps, context, async ({ args }) => {
    const run = containers.get(args.container)?.run ?? null
    if (run === null || !(await signalProcess(host.kernel, run, signalNumber(args.signal))))
      throw new PakError('conflict', `kill container \`${args.container}\`: it is not running`)
    // On cgroup v1 not even SIGKILL reaches what is frozen.
    if (args.signal === 'SIGKILL' || signalNumber(args.signal) === constants.signals.SIGKILL)
      await host.cgroups.thaw(host.layout.cgroup(context.project, args.container))
  })
}

interface Ending {
  readonly stepId: string
  readonly project: string
  readonly record: ContainerRecord
  readonly run: Run
  readonly signal: string | null
  /** `null`: its own. */
  readonly graceMs: number | null
}

async function end(host: LinuxHost, ending: Ending, context: RunContext): Promise<void> {
  const { record, run } = ending
  const graceMs = ending.graceMs ?? record.spec.stopGraceMs
  const deadline = performance.now() + graceMs
  const signal = ending.signal ?? record.spec.stopSignal ?? 'SIGTERM'
  const cgroup = host.layout.cgroup(ending.project, record.name)
  if (graceMs > 0) await farewell(host, { ...ending, graceMs, cgroup }, context)
  if (graceMs > 0 && (await signalProcess(host.kernel, run, signalNumber(signal)))) {
    // What is paused finds the signal when it goes on.
    await host.cgroups.thaw(cgroup)
    await gone(host, run, { limitMs: deadline - performance.now(), signal: context.signal })
  }
  // With the first process of a pid namespace the kernel kills all others in it (pid_namespaces(7)).
  await signalProcess(host.kernel, run, 'SIGKILL')
  await host.cgroups.thaw(cgroup)
  const limit = { limitMs: KILL_LIMIT_MS, signal: AbortSignal.timeout(2 * KILL_LIMIT_MS) }
  const ended = await gone(host, run, limit)
  // Where the namespace is shared, whatever else is in the cgroup runs on.
  await host.cgroups.killAll(cgroup)
  if (!ended)
    throw new PakError(
      'timeout',
      `stop container \`${record.name}\`: process ${run.pid} does not end`,
    )
}

interface Farewell extends Ending {
  readonly graceMs: number
  readonly cgroup: string
}

/** What it wants to do before it is told to stop; the stop goes on whatever comes of that. */
async function farewell(
  host: LinuxHost,
  { stepId, project, record, run, graceMs, cgroup }: Farewell,
  { signal, warn }: RunContext,
): Promise<void> {
  const hooks = record.spec.preStop ?? []
  if (hooks.length === 0 || !(await isAlive(host.kernel, run))) return
  await host.cgroups.thaw(cgroup)
  const hooksRun = { project, container: record.name, when: 'pre_stop', hooks } as const
  try {
    await runHooks(host, { ...hooksRun, limitMs: graceMs, signal })
  } catch (error) {
    const failure = expected(error)
    if (failure === null) throw error
    if (failure.code !== 'cancelled') warn?.(stepId, failure)
  }
}

/** True as soon as the process is gone, false when it is still there at the limit or on abort. */
async function gone(
  host: LinuxHost,
  run: Run,
  { limitMs, signal }: { limitMs: number; signal: AbortSignal },
): Promise<boolean> {
  const deadline = performance.now() + limitMs
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    if (!(await isAlive(host.kernel, run))) return true
    if (performance.now() >= deadline || signal.aborted) return false
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
