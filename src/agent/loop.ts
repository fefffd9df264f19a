import type { ChangeKind } from '../executor/executor.ts'

const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 60_000
/** A burst of changes (twenty containers exit together) becomes one pass. */
const GAP_MS = 25
/** What has ended during an operation is looked at when the operation is over. */
const REST_MS = 150
/**
 * What an operation or a pass does comes back as changes that the kernel tells of: one look, and not while the next
 * command of a script asks for one of its own.
 */
const ECHO_MS = 1_000

/** What one look at a project came to. */
export interface PassOutcome {
  readonly ok: boolean
  /** When to look again though nothing changes, as a restart is due then; `null`: no need. */
  readonly wakeAt: Date | null
}

export interface LoopOptions {
  readonly pass: (project: string, why: Why) => Promise<PassOutcome>
  /** A pass that rejected: a bug or a host in trouble. It is tried again. */
  readonly onError: (project: string, error: unknown) => void
}

export interface Why {
  readonly cause: string
  /** Not everything need be looked at: see `ChangeKind`. */
  readonly onlyStatus: boolean
  /** Fires when a user's operation waits for this pass to end. */
  readonly hurry: AbortSignal
}

interface Lane {
  /** The end of all work that was asked for so far. */
  tail: Promise<unknown>
  running: number
  /** A pass that is waiting for its time or its turn. */
  pending: Pending | null
  wake: NodeJS.Timeout | null
  /** Of the pass that is under way. */
  hurry: AbortController | null
  failures: number
  /** No pass before. */
  quietUntil: number
  /** Nor one before that is only for an echo. */
  echoUntil: number
}

interface Pending extends Pick<Why, 'cause' | 'onlyStatus'> {
  readonly isEcho: boolean
  /** `null`: it waits for its turn. */
  timer: NodeJS.Timeout | null
}

/**
 * One lane a project: users' operations and passes of the loop one after the other, in order of
 * arrival; passes that wait are one pass. Projects do not wait for each other.
 */
export class Loop implements AsyncDisposable {
  readonly #options: LoopOptions
  readonly #lanes = new Map<string, Lane>()
  #closed = false

  constructor(options: LoopOptions) {
    this.#options = options
  }

  /** A user's operation, in its turn. It wipes the back-off: a user knows better than a timer. */
  exclusive<T>(project: string, work: () => Promise<T>): Promise<T> {
    const lane = this.#lane(project)
    lane.failures = 0
    lane.hurry?.abort()
    return this.#inTurn(project, lane, async () => {
      try {
        return await work()
      } finally {
        lane.quietUntil = performance.now() + REST_MS
        lane.echoUntil = performance.now() + ECHO_MS
      }
    })
  }

  /** Something may have changed: look again soon. */
  enqueue(project: string, cause: string, kind: ChangeKind = 'form'): void {
    if (this.#closed) return
    const lane = this.#lane(project)
    const { pending } = lane
    const isNews = pending === null || (pending.isEcho && kind !== 'echo')
    const why = {
      cause: isNews ? cause : pending.cause,
      isEcho: kind === 'echo' && (pending?.isEcho ?? true),
      onlyStatus: kind === 'status' && (pending?.onlyStatus ?? true),
    }
    if (pending !== null && (!isNews || pending.timer === null)) {
      lane.pending = { ...why, timer: pending.timer }
      return
    }
    if (pending?.timer != null) clearTimeout(pending.timer)
    const delayMs = Math.max(quietFor(lane, why.isEcho), retryDelay(lane.failures))
    this.#passAfter(project, lane, { ...why, delayMs })
  }

  /** Whether anything is being done, or waits for its turn. */
  get busy(): boolean {
    return [...this.#lanes.values()].some((lane) => lane.running > 0)
  }

  /** Resolves when all that was asked for until now is done. */
  async quiet(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map(({ tail }) => tail))
  }

  /** No pass begins any more; resolves when what is under way has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const lane of this.#lanes.values()) {
      if (lane.wake !== null) clearTimeout(lane.wake)
      if (lane.pending?.timer != null) clearTimeout(lane.pending.timer)
      lane.pending = null
    }
    await this.quiet()
  }

  #passAfter(
    project: string,
    lane: Lane,
    { delayMs, ...why }: Omit<Pending, 'timer'> & { readonly delayMs: number },
  ): void {
    const begin = () => {
      if (lane.pending !== null) lane.pending.timer = null
      this.#inTurn(project, lane, () => this.#pass(project, lane)).catch((error: unknown) =>
        this.#options.onError(project, error),
      )
    }
    lane.pending = { ...why, timer: setTimeout(begin, delayMs) }
  }

  async #pass(project: string, lane: Lane): Promise<void> {
    if (this.#closed || lane.pending === null) return
    const { timer: _, isEcho, ...why } = lane.pending
    const delayMs = quietFor(lane, isEcho)
    // An operation has come in between.
    if (delayMs > 0) return this.#passAfter(project, lane, { ...why, isEcho, delayMs })
    lane.pending = null
    if (lane.wake !== null) clearTimeout(lane.wake)
    lane.wake = null
    let ok = false
    lane.hurry = new AbortController()
    try {
      const outcome = await this.#options.pass(project, { ...why, hurry: lane.hurry.signal })
      ok = outcome.ok
      this.#wakeAt(project, lane, outcome.wakeAt)
    } finally {
      lane.hurry = null
      lane.quietUntil = performance.now() + GAP_MS
      lane.echoUntil = performance.now() + ECHO_MS
      lane.failures = ok ? 0 : lane.failures + 1
      if (!ok) this.enqueue(project, 'retry')
    }
  }

  #wakeAt(project: string, lane: Lane, at: Date | null): void {
    if (at === null || this.#closed) return
    // setTimeout takes 31 bits; a far date is looked at again in a day.
    const delayMs = Math.min(Math.max(0, at.getTime() - Date.now()), 86_400_000)
    lane.wake = setTimeout(() => this.enqueue(project, 'timer', 'status'), delayMs)
  }

  #inTurn<T>(project: string, lane: Lane, work: () => Promise<T>): Promise<T> {
    lane.running += 1
    const turn = lane.tail.then(work).finally(() => {
      lane.running -= 1
      if (lane.running === 0 && lane.pending === null && lane.wake === null && lane.failures === 0)
        this.#lanes.delete(project)
    })
    lane.tail = turn.catch(() => {})
    return turn
  }

  #lane(project: string): Lane {
    const known = this.#lanes.get(project)
    if (known !== undefined) return known
    const lane: Lane = {
      tail: Promise.resolve(),
      running: 0,
      pending: null,
      wake: null,
      hurry: null,
      failures: 0,
      quietUntil: 0,
      echoUntil: 0,
    }
    this.#lanes.set(project, lane)
    return lane
  }
}

const quietFor = ({ quietUntil, echoUntil }: Lane, isEcho: boolean): number =>
  Math.max(0, (isEcho ? echoUntil : quietUntil) - performance.now())

const retryDelay = (failures: number): number =>
  failures === 0 ? 0 : Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS)
