import { createHash } from 'node:crypto'
import { PakError } from '../../errors.ts'
import type { Drift, ObservedState } from '../../model/observed.ts'
import type { Op, StepOf } from '../../model/plan.ts'
import type {
  ChangeKind,
  Executor,
  HostChange,
  InspectScope,
  PreflightRequest,
  RunContext,
  StepOutcome,
} from '../executor.ts'
import { HANDLERS } from './handlers.ts'
import { type Behaviour, change, type MemoryHost, NO_FIREWALL, projectOn } from './host.ts'
import { ended } from './life.ts'
import { observe } from './observe.ts'
import { obstacles } from './preflight.ts'

export interface MemoryOptions extends Partial<Behaviour> {
  /** Digest of each image in the store; without it every reference is there. May be changed later. */
  readonly images?: Map<string, string>
}

/** A host in memory, and what a test does to it behind pak's back. */
export interface MemoryExecutor extends Executor {
  /** What `inspect` would show, at once. */
  state(project: string): ObservedState
  /** Let the next run of the step with this id fail. */
  failNext(stepId: string, error: PakError): void
  /** A container ends by itself. */
  crash(project: string, container: string, how: Crash): void
  /** Somebody flushes the firewall. */
  flushFirewall(project: string): void
  /** Somebody changes what is behind a running container. */
  meddle(project: string, container: string, drift: Drift): void
  /** Somebody writes other limits into the project's own cgroup. */
  meddleWithProject(project: string, fact: string): void
  /** Somebody deletes a bridge. */
  deleteBridge(project: string, network: string): void
}

export interface Crash {
  readonly exitCode: number
  readonly oomKilled?: boolean
  readonly restartAt?: string | null
}

/** An executor whose host is a few maps: for properties, for trying a plan, and to read what the interface means. */
export function memoryExecutor(options: MemoryOptions = {}): MemoryExecutor {
  const host = memoryHost(options)
  const failures = new Map<string, PakError>()
  const listeners = new Set<(change: HostChange) => void>()
  const tell = (project: string, cause: string, kind: ChangeKind = 'form') => {
    for (const listener of listeners) listener({ project, cause, kind })
  }
  const state = (project: string, images: readonly string[] = []) =>
    observe(host, project, digests(options.images, images))
  return {
    name: 'memory',
    state,
    failNext: (stepId, error) => void failures.set(stepId, error),
    crash(project, container, how) {
      const finishedAt = host.behaviour.now()
      change(projectOn(host, project), container, (known) => {
        const startedAt = known.status.state === 'created' ? finishedAt : known.status.startedAt
        const again = how.restartAt === undefined || how.restartAt === null ? 0 : 1
        const restartCount = known.restartCount + again
        return { ...known, restartCount, status: ended(startedAt, { ...how, finishedAt }) }
      })
      tell(project, 'container exited', 'status')
    },
    flushFirewall(project) {
      projectOn(host, project).firewall = NO_FIREWALL
      tell(project, 'firewall changed')
    },
    deleteBridge(project, network) {
      const { networks } = projectOn(host, project)
      const known = networks.get(network)
      if (known !== undefined) networks.set(network, { ...known, drift: `${known.bridge} is gone` })
      tell(project, 'link changed')
    },
    meddle(project, container, drift) {
      change(projectOn(host, project), container, (known) => ({
        ...known,
        drift: [...known.drift, drift],
      }))
      tell(project, 'container changed')
    },
    meddleWithProject(project, fact) {
      projectOn(host, project).drift = [fact]
      tell(project, 'project changed')
    },
    projects: async () =>
      [...host.projects.values()].flatMap((p) => (p.limits === null ? [] : p.name)).sort(),
    inspect: async (scope: InspectScope) => state(scope.project, await scope.images?.()),
    preflight: async (request: PreflightRequest) => obstacles(host, request),
    cautions: async () => [],
    run: (op, steps, context) => runSteps({ host, failures, op, steps, context }),
    watch(onChange) {
      listeners.add(onChange)
      return { [Symbol.dispose]: () => void listeners.delete(onChange) }
    },
    // Nothing runs, so that nothing is used.
    usage: async () => [],
    processes: async () => [],
    exec: async ({ container }) => {
      throw new PakError('host', `exec, \`${container}\`: a host in memory has no processes`)
    },
  }
}

function memoryHost(options: MemoryOptions): MemoryHost {
  let count = 0
  const serial = () => ++count
  const behaviour: Behaviour = {
    now: options.now ?? (() => new Date(serial() * 1000).toISOString()),
    exits: options.exits ?? (() => null),
    health: options.health ?? (() => 'healthy'),
  }
  return { projects: new Map(), behaviour, serial }
}

function digests(
  store: ReadonlyMap<string, string> | undefined,
  references: readonly string[],
): Readonly<Record<string, string | null>> {
  const anyDigest = (reference: string) =>
    `sha256:${createHash('sha256').update(reference).digest('hex')}`
  return Object.fromEntries(
    references.map((name) => [name, store ? (store.get(name) ?? null) : anyDigest(name)]),
  )
}

async function runSteps<O extends Op>(at: {
  readonly host: MemoryHost
  readonly failures: Map<string, PakError>
  readonly op: O
  readonly steps: readonly StepOf<O>[]
  readonly context: RunContext
}): Promise<readonly StepOutcome[]> {
  const { host, failures, op, steps, context } = at
  const outcomes: StepOutcome[] = []
  for (const step of steps) {
    // Let other ops run in between, as on a real host.
    await Promise.resolve()
    const failure = failures.get(step.id)
    failures.delete(step.id)
    if (context.signal.aborted)
      outcomes.push(new PakError('cancelled', `run, \`${step.id}\`: cancelled`))
    else
      outcomes.push(failure ?? perform(() => HANDLERS[op](step, { host, name: context.project })))
  }
  return outcomes
}

function perform(handler: () => void): StepOutcome {
  try {
    handler()
    return null
  } catch (error) {
    if (error instanceof PakError) return error
    throw error
  }
}
