import { setTimeout as sleep } from 'node:timers/promises'
import { PakError } from '../../errors.ts'
import { identify } from '../../kernel/process.ts'
import type { StepOf } from '../../model/plan.ts'
import { createContainers, type MonitorLog } from '../../runtime/monitor.ts'
import { beyondRuntimes } from '../../runtime/resources.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { attachContainers } from './attach.ts'
import { expected, forEach } from './batch.ts'
import { writeBundle } from './bundle.ts'
import { dueHooks, greetContainers } from './greet.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'
import { reserveAbove, reserves } from './reservations.ts'
import { mountRoots } from './roots.ts'
import { currentRun, hasLeftovers, release, statusOf } from './runs.ts'

/** A container on its way from record to process. What failed carries why, and is taken back at the end. */
interface Launch {
  readonly record: ContainerRecord
  readonly index: number
  /** RFC 3339. */
  readonly notBefore: string | null
  pid: number
  log: MonitorLog | null
  /** Its process has been let go: what fails from here on takes back nothing by itself. */
  running: boolean
}

/** At most so many are created at once; while the runtime creates these, those before them are wired and let go. */
const TOGETHER = 20

/** What is left of a back-off when a start begins is less: a clock that was put back must not hold it up. */
const LONGEST_REST_MS = 500

/**
 * The one place that starts containers. Groups of them pass each stage together, so that a stage can be
 * one process for all: mounts, then monitor and OCI runtime each, then one `ip` batch, then go.
 */
export async function startContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.start'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const outcomes: StepOutcome[] = steps.map(() => null)
  const launches = await pending(host, steps, { context, outcomes })
  const late = launches.filter(({ running }) => running)
  const fresh = launches.filter(({ running }) => !running)
  const through = async (group: readonly Launch[], stage: Stage) => {
    const ready = group.filter(({ index }) => outcomes[index] === null)
    const results = await stage(ready)
    for (const [position, { index }] of ready.entries()) outcomes[index] = results[position] ?? null
  }
  await through(fresh, (ready) =>
    mountRoots(
      host,
      ready.map(({ record }) => record),
      context,
    ),
  )
  let written: Promise<unknown> = Promise.resolve()
  let created: Promise<unknown> = Promise.resolve()
  const greet: Stage = (ready) => greetContainers(host, ready, context)
  const groups = groupsOf(fresh, TOGETHER).map(async (group) => {
    const [writing, creating] = [written, created]
    written = writing.then(() =>
      through(group, (ready) =>
        forEach(ready, context, async (launch) => {
          launch.log = await host.logs.begin(context.project, launch.record)
          await writeBundle(host, context.project, launch.record)
        }),
      ),
    )
    created = Promise.all([written, creating]).then(() =>
      through(group, (ready) => create(host, ready, context)),
    )
    await created
    await through(group, (ready) => limit(host, ready, context))
    await through(group, (ready) => attachContainers(host, ready, context))
    await through(group, (ready) => letGo(host, ready, context))
    await through(group, greet)
  })
  groups.push(through(late, greet))
  // Nothing of this may go on behind the back of whoever gets the error.
  for (const group of await Promise.allSettled(groups))
    if (group.status === 'rejected') throw group.reason
  const failed = launches.filter((launch) => outcomes[launch.index] !== null && !launch.running)
  await takeBack(host, failed, { steps, context })
  return outcomes
}

/** Why it failed is what its step tells; what is left even so stays written down, and is cleared by the next start. */
async function takeBack(
  host: LinuxHost,
  failed: readonly Launch[],
  { steps, context }: { steps: readonly StepOf<'container.start'>[]; context: RunContext },
): Promise<void> {
  try {
    await release(
      host,
      failed.map(({ record }) => record),
      context,
    )
  } catch (error) {
    const failure = expected(error)
    if (failure === null) throw error
    for (const { index } of failed.slice(0, 1)) {
      const step = steps[index]
      if (step !== undefined) context.warn?.(step.id, failure)
    }
  }
}

/** As few groups as that takes, of one size: each costs a spawn for each of its stages. */
function groupsOf<T>(items: readonly T[], most: number): readonly (readonly T[])[] {
  const count = Math.ceil(items.length / most)
  const size = Math.ceil(items.length / count)
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size))
}

type Stage = (ready: readonly Launch[]) => Promise<readonly StepOutcome[]>

/** What is not running yet, free of whatever an earlier run left behind. */
async function pending(
  host: LinuxHost,
  steps: readonly StepOf<'container.start'>[],
  { context, outcomes }: { context: RunContext; outcomes: StepOutcome[] },
): Promise<readonly Launch[]> {
  const { containers } = await host.records.of(context.project)
  const launches: Launch[] = []
  const leftovers: ContainerRecord[] = []
  for (const [index, { args }] of steps.entries()) {
    const { notBefore = null } = args
    const record = containers.get(args.container)
    if (record === undefined) {
      outcomes[index] = new PakError(
        'conflict',
        `start container \`${args.container}\`: it is gone`,
      )
      continue
    }
    const status = await statusOf(host, context.project, record)
    if (status.state === 'running' || status.state === 'paused') {
      const run = await currentRun(host, record)
      if (record.run === null) await host.records.putContainer(context.project, { ...record, run })
      // Whoever let it go had no time for its hooks.
      if (run?.hooksDue)
        launches.push({ record, index, notBefore, pid: run.pid, log: null, running: true })
      continue
    }
    launches.push({ record, index, notBefore, pid: 0, log: null, running: false })
    if (await hasLeftovers(host, record)) leftovers.push(record)
  }
  await release(host, leftovers, context)
  return launches
}

async function create(
  host: LinuxHost,
  launches: readonly Launch[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const results = await createContainers(
    host.kernel,
    launches.map(({ record, log }) => ({
      runtime: host.oci,
      id: record.id,
      name: record.name,
      bundle: host.layout.bundle(record.id),
      log,
      exitDir: host.layout.exits,
      signal: context.signal,
    })),
  )
  return launches.map((launch, index) => {
    const result = results[index] ?? 0
    if (result instanceof PakError) return result
    launch.pid = result
    return null
  })
}

/** Limits that the OCI runtime was not told, as it may not know them; nothing of the container runs yet. */
function limit(
  host: LinuxHost,
  launches: readonly Launch[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  return forEach(launches, context, async ({ record: { name, spec } }) => {
    if (beyondRuntimes(spec.limits))
      await host.cgroups.update(host.layout.cgroup(context.project, name), spec.limits)
    if (reserves(spec.limits)) await reserveAbove(host, context.project)
  })
}

/** From here on the container runs, and its record says so. */
async function letGo(
  host: LinuxHost,
  launches: readonly Launch[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  await backOff(host, launches, context)
  const processes = await Promise.all(launches.map(({ pid }) => identify(host.kernel, pid)))
  const startedAt = host.now().toISOString()
  const whole = await host.oci.startAll(launches.map(({ record }) => record.id))
  return forEach(launches, context, async (launch, index) => {
    const { record } = launch
    const process = processes[index] ?? null
    if (process === null)
      throw new PakError('runtime', `start container \`${record.name}\`: it ended before it began`)
    if (!whole && (await host.oci.state(record.id))?.status === 'created')
      await host.oci.start(record.id)
    const run = { ...process, startedAt, ...dueHooks(record) }
    launch.running = true
    // With what plugins have said meanwhile.
    const now = host.records.find(record.id)?.record ?? record
    await host.records.putContainer(context.project, { ...now, run, exit: null, paused: false })
  })
}

/** All of a group is let go together, when the last of their back-offs is over. */
async function backOff(
  host: LinuxHost,
  launches: readonly Launch[],
  { signal }: RunContext,
): Promise<void> {
  const now = host.now().getTime()
  const left = launches.map(({ notBefore }) =>
    notBefore === null ? 0 : Date.parse(notBefore) - now,
  )
  const waitMs = Math.min(Math.max(0, ...left), LONGEST_REST_MS)
  // Whoever interrupts is heard where they are let go.
  if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => {})
}
