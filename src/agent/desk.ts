import type { ObservedState } from '../model/observed.ts'
import { SHARED } from '../model/shared.ts'
import type { Departure } from './departure.ts'
import type { Loop } from './loop.ts'
import { containerRows, networkRows } from './rows.ts'
import type { AgentStatus, ContainerRow, NetworkRow } from './wire.ts'
import type { Workshop } from './work.ts'

const IDLE_MS = 2_000

export interface DeskOptions {
  readonly shop: Workshop
  readonly loop: Loop
  readonly departure: Departure
  readonly socket: string
  readonly version: string
  readonly startedAt: string
  /** Only what says so ends it. */
  readonly stay: boolean
  /** Ends this process. */
  readonly exit: () => void
}

/** Where requests arrive: answers what needs no turn, and knows when nobody needs the agent any more. */
export class Desk {
  readonly shop: Workshop
  readonly loop: Loop
  readonly exit: () => void
  readonly #options: DeskOptions
  #requests = 0
  #idle: NodeJS.Timeout | null = null

  constructor(options: DeskOptions) {
    this.#options = options
    this.shop = options.shop
    this.loop = options.loop
    this.exit = options.exit
  }

  requestBegins(): Disposable {
    this.#requests += 1
    let open = true
    return {
      [Symbol.dispose]: () => {
        if (!open) return
        open = false
        this.#requests -= 1
        this.restartIdleTimer()
      },
    }
  }

  restartIdleTimer(): void {
    if (this.#idle !== null) clearTimeout(this.#idle)
    if (!this.#options.stay) this.#idle = setTimeout(() => void this.#leaveIfIdle(), IDLE_MS)
  }

  async status(): Promise<AgentStatus> {
    const { version, startedAt, socket } = this.#options
    const projects = await this.projects()
    const memoryBytes = process.memoryUsage.rss()
    return { pid: process.pid, version, startedAt, projects, socket, memoryBytes }
  }

  /** Those that files are of. */
  async projects(): Promise<readonly string[]> {
    const names = await this.shop.parts.executor.projects()
    return names.filter((name) => name !== SHARED)
  }

  /** Everything, what was made by hand included. */
  inspectAll(): Promise<readonly ObservedState[]> {
    return this.#inspectAll(null)
  }

  async containers(project: string | null): Promise<readonly ContainerRow[]> {
    return (await this.#inspectAll(project, 'containers')).flatMap(containerRows)
  }

  async networks(project: string | null): Promise<readonly NetworkRow[]> {
    return (await this.#inspectAll(project)).flatMap(networkRows)
  }

  inspect(project: string): Promise<ObservedState> {
    return this.shop.parts.executor.inspect({ project })
  }

  /**
   * After an operation that may have removed the last project, while its request is still open: clean
   * up and return the processes that end when `exit` is called; empty when the agent stays.
   */
  async leaveIfLast(): Promise<readonly number[]> {
    if (this.#options.stay || this.#requests > 1) return []
    if ((await this.shop.parts.executor.projects()).length > 0) return []
    // The ends of its containers have each asked for a look at a project that is gone by now.
    await this.loop.quiet()
    return (await this.#leave(1)) ? leavingProcesses() : []
  }

  /** Whatever there is to look after: finish what is under way, and leave the containers running. */
  async leaveNow(): Promise<readonly number[]> {
    await this.loop[Symbol.asyncDispose]()
    if (!(await this.#leave(1))) await this.#options.departure.abandon()
    return leavingProcesses()
  }

  async #leaveIfIdle(): Promise<void> {
    try {
      if (await this.#leave(0)) this.exit()
    } catch (error) {
      process.stderr.write(`leave: ${error instanceof Error ? error.stack : String(error)}\n`)
      this.restartIdleTimer()
    }
  }

  async #leave(openRequests: number): Promise<boolean> {
    const unneeded = async () =>
      this.#requests <= openRequests &&
      !this.loop.busy &&
      (await this.shop.parts.executor.projects()).length === 0
    return (await unneeded()) && this.#options.departure.leave(unneeded)
  }

  async #inspectAll(
    project: string | null,
    only?: 'containers',
  ): Promise<readonly ObservedState[]> {
    const { executor } = this.shop.parts
    const names = project === null ? await executor.projects() : [project]
    const scope = only === undefined ? {} : { only }
    return Promise.all(names.map((name) => executor.inspect({ ...scope, project: name })))
  }
}

/** The agent and, where it has one, its supervisor. */
const leavingProcesses = (): readonly number[] =>
  process.env['PAK_SUPERVISOR'] === String(process.ppid)
    ? [process.pid, process.ppid]
    : [process.pid]
