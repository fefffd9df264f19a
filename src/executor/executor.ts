import type { PakError } from '../errors.ts'
import type { DesiredState } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Op, Step, StepOf } from '../model/plan.ts'
import type { ProcessRow, UsageRow } from '../model/usage.ts'

/**
 * Whatever can make a project real: this machine (`linux`), a host in memory (`memory`), a user's own
 * module. It observes and acts; it never decides.
 */
export interface Executor {
  readonly name: string

  /** Names of all projects that have a record here, sorted. */
  projects(): Promise<readonly string[]>

  /** Everything about one project in one go, consistent enough to plan on. Changes nothing. */
  inspect(scope: InspectScope, signal?: AbortSignal): Promise<ObservedState>

  /**
   * What stands in the way of these steps on this host: ports taken (with the holder), subnets that
   * collide with routes, missing bind sources, controllers that the kernel lacks. Changes nothing.
   */
  preflight(request: PreflightRequest, signal?: AbortSignal): Promise<readonly PakError[]>

  /** What these steps will get less of than was asked for on this host, one line each. Changes nothing. */
  cautions(request: PreflightRequest): Promise<readonly string[]>

  /**
   * Run steps of one op that are ready together. Each step is idempotent; a thing already there, or
   * already gone, is success. One outcome per step, in the same order; it rejects only for a bug.
   */
  run<O extends Op>(
    op: O,
    steps: readonly StepOf<O>[],
    context: RunContext,
  ): Promise<readonly StepOutcome[]>

  /** Tell whenever something that `inspect` would show may have changed. Dispose to stop. */
  watch(onChange: (change: HostChange) => void): Disposable

  /** How to run a command inside a container: the caller spawns it with its own stdio. */
  exec(request: ExecRequest): Promise<ExecInvocation>

  /**
   * What the containers of a project use, in every state, then the total of each service that has several,
   * and last the project's. CPU is measured over `sampleMs`. Starts no program.
   */
  usage(request: SampleRequest, signal?: AbortSignal): Promise<readonly UsageRow[]>

  /** Every process of the running containers of a project, those of `exec` included. The same. */
  processes(request: SampleRequest, signal?: AbortSignal): Promise<readonly ProcessRow[]>
}

export interface SampleRequest {
  readonly project: string
  readonly sampleMs: number
}

export interface InspectScope {
  readonly project: string
  /**
   * Image references whose digest in the local store the plan needs. Asked for when all else is being
   * read: they may depend on a file that is still on its way. Default: none.
   */
  readonly images?: () => Promise<readonly string[]>
  /** `containers`: records and processes only, for lists; networks and firewall are then as recorded. */
  readonly only?: 'containers'
  /**
   * `false`: what is not as pak made it is not looked for, and the firewall is as it was when it was last looked
   * at, unless it is known to have changed since. For a plan that only takes away, or that answers an end.
   */
  readonly drift?: false
}

export interface PreflightRequest {
  /** `null`: the plan follows from what exists alone (`down`, `stop`, ...). */
  readonly desired: DesiredState | null
  readonly observed: ObservedState
  readonly steps: readonly Step[]
}

export interface RunContext {
  readonly project: string
  readonly signal: AbortSignal
  /** How many things of one kind may be under way at once. */
  readonly concurrency: number
  /** Somebody waits for the end of this: what itself only waits gives up, what it does is done in peace. */
  readonly hurry?: AbortSignal
  /** Something went wrong with a step that goes on nevertheless. */
  readonly warn?: (stepId: string, error: PakError) => void
}

/** `null`: done. */
export type StepOutcome = PakError | null

export interface HostChange {
  readonly project: string
  /** For the journal and the log: `container exited`, `timer`. */
  readonly cause: string
  readonly kind: ChangeKind
}

/**
 * `status`: something has ended, or has become healthy or not, and nothing else need have changed. `form`: something is not as
 * pak made it. `echo`: the same, but of a kind that an operation of pak's own brings about, too.
 */
export type ChangeKind = 'status' | 'form' | 'echo'

export interface ExecRequest {
  readonly project: string
  readonly container: string
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** `null`: the container's own. */
  readonly user: string | null
  readonly workingDir: string | null
  readonly tty: boolean
  /** With all capabilities of this host. */
  readonly privileged?: boolean
}

/** A program to spawn with an argument array; its exit status is the command's. */
export interface ExecInvocation {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Holds the process's description and the runtime's log; the caller removes it when the command ended. */
  readonly scratch: string
  /** Folder of the cgroup that was made for the command, to be removed then, too; `null`: there is none. */
  readonly cgroup: string | null
}
