import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecInvocation, ExecRequest } from '../executor/executor.ts'
import type { Attachment, Network, Volume } from '../model/desired.ts'
import type { PakEvent } from '../model/events.ts'
import type { ImageRecord } from '../model/image.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Place } from '../model/shared.ts'
import type { ProcessRow, UsageRow } from '../model/usage.ts'
import type { Explanation } from './explain.ts'
import { type Call, Transport } from './transport.ts'
import type {
  ActionRequest,
  AgentStatus,
  ContainerRow,
  CopyPlace,
  DownRequest,
  EventsQuery,
  LaunchEnd,
  LaunchRequest,
  NetworkRow,
  OperationLine,
  PlanAnswer,
  PlanRequest,
  RollbackRequest,
  SampleQuery,
  UpRequest,
  VolumeRow,
} from './wire.ts'

const LEAVING_TIMEOUT_MS = 5_000

/** Everything that the agent can be asked. The agent is the same program: its answers are trusted. */
export class AgentClient {
  readonly #transport: Transport

  constructor(socketPath: string, revive: (() => Promise<void>) | null) {
    this.#transport = new Transport(socketPath, revive)
  }

  status(signal?: AbortSignal): Promise<AgentStatus> {
    return this.#get('/v1/status', signal)
  }

  /** Ends the agent; containers run on. Resolves when its processes are gone. */
  async stop(): Promise<void> {
    const call = { method: 'POST', path: '/v1/agent/stop', idempotent: false } as const
    const { leaving } = (await this.#transport.json(call)) as { leaving: readonly number[] }
    await gone(leaving)
  }

  projects(): Promise<readonly string[]> {
    return this.#get('/v1/projects')
  }

  plan(project: string, { desired, options }: PlanRequest): Promise<PlanAnswer> {
    const path = `/v1/projects/${project}/plan`
    return this.#ask({ method: 'POST', path, body: { desired, options }, idempotent: true })
  }

  up(project: string, request: UpRequest, signal?: AbortSignal): AsyncIterable<OperationLine> {
    return this.#operate(upPath(project), { body: request }, signal)
  }

  /**
   * The same for a manifest that is still being read: the agent looks at the machine meanwhile. It is asked
   * at once, not when the lines are read.
   */
  upPending(
    project: string,
    pending: Promise<UpRequest>,
    signal?: AbortSignal,
  ): AsyncIterable<OperationLine> {
    return begun(this.#operate(upPath(project), { pending }, signal))
  }

  down(project: string, request: DownRequest, signal?: AbortSignal): AsyncIterable<OperationLine> {
    return this.#operate(`/v1/projects/${project}/down`, { body: request }, signal)
  }

  action(
    project: string,
    request: ActionRequest,
    signal?: AbortSignal,
  ): AsyncIterable<OperationLine> {
    return this.#operate(`/v1/projects/${project}/action`, { body: request }, signal)
  }

  rollback(
    project: string,
    request: RollbackRequest,
    signal?: AbortSignal,
  ): AsyncIterable<OperationLine> {
    return this.#operate(`/v1/projects/${project}/rollback`, { body: request }, signal)
  }

  /** `null`: of all projects. */
  containers(project: string | null): Promise<readonly ContainerRow[]> {
    return this.#get(`/v1/containers${query({ project })}`)
  }

  /** `null`: of all projects. CPU is measured for so long; the answer comes after that. */
  stats(query: SampleQuery, signal?: AbortSignal): Promise<readonly UsageRow[]> {
    return this.#get(samplePath('stats', query), signal)
  }

  top(query: SampleQuery, signal?: AbortSignal): Promise<readonly ProcessRow[]> {
    return this.#get(samplePath('top', query), signal)
  }

  networks(project: string | null = null): Promise<readonly NetworkRow[]> {
    return this.#get(`/v1/networks${query({ project })}`)
  }

  async createNetwork(network: Network): Promise<void> {
    await this.#ask({ method: 'POST', path: '/v1/networks', body: { network }, idempotent: false })
  }

  /** What is asked for twice is refused the second time. */
  async connect(project: string, container: string, attachment: Attachment): Promise<void> {
    const body = { project, container, attachment }
    await this.#ask({ method: 'POST', path: '/v1/networks/connect', body, idempotent: false })
  }

  async disconnect(project: string, container: string, network: string): Promise<void> {
    const body = { project, container, network }
    await this.#ask({ method: 'POST', path: '/v1/networks/disconnect', body, idempotent: false })
  }

  /** Made by hand, and no container is on them. */
  unusedNetworks(): Promise<readonly string[]> {
    return this.#get('/v1/networks/unused')
  }

  async removeNetworks(names: readonly string[]): Promise<void> {
    const path = '/v1/networks/remove'
    const call = { method: 'POST', path, body: { names }, idempotent: false } as const
    const { leaving } = await this.#ask<{ readonly leaving: readonly number[] }>(call)
    await gone(leaving)
  }

  /** This machine's public key of WireGuard. */
  async networkKey(): Promise<string> {
    const call = { method: 'POST', path: '/v1/networks/key', body: {}, idempotent: true } as const
    return (await this.#ask<{ readonly key: string }>(call)).key
  }

  /** Every project, that of what was made by hand included. */
  inspectAll(): Promise<readonly ObservedState[]> {
    return this.#get('/v1/networks/inspect')
  }

  inspect(project: string): Promise<ObservedState> {
    return this.#get(`/v1/inspect${query({ project })}`)
  }

  /** Without `follow` what has been; with it what comes, too, until the signal. */
  events({ project, since, follow }: EventsQuery, signal?: AbortSignal): AsyncIterable<PakEvent> {
    const path = `/v1/events${query({ project, since, follow: follow ? 'true' : null })}`
    const call = { method: 'GET', path, idempotent: true, signal } as const
    return this.#transport.lines(call) as AsyncIterable<unknown> as AsyncIterable<PakEvent>
  }

  /** Why a service is as it is. */
  explain(project: string, service: string): Promise<Explanation> {
    return this.#get(`/v1/explain${query({ project, service })}`)
  }

  volumes(): Promise<readonly VolumeRow[]> {
    return this.#get('/v1/volumes')
  }

  async createVolume(volume: Volume): Promise<void> {
    await this.#ask({ method: 'POST', path: '/v1/volumes', body: { volume }, idempotent: false })
  }

  async removeVolume({ owner, name }: Place): Promise<void> {
    const path = `/v1/volumes/${owner}/${encodeURIComponent(name)}`
    await this.#ask({ method: 'DELETE', path, idempotent: true })
  }

  images(): Promise<readonly ImageRecord[]> {
    return this.#get('/v1/images')
  }

  /** An absolute path on this host, or the archive itself. */
  loadImages(source: string | Readable, signal?: AbortSignal): Promise<readonly ImageRecord[]> {
    return this.#ask({ ...archiveCall('/v1/images/load', source, {}), signal })
  }

  importImage(
    source: string | Readable,
    reference: string,
    signal?: AbortSignal,
  ): Promise<ImageRecord> {
    return this.#ask({ ...archiveCall('/v1/images/import', source, { reference }), signal })
  }

  async removeImage(reference: string): Promise<void> {
    const path = `/v1/images/${encodeURIComponent(reference)}`
    await this.#ask({ method: 'DELETE', path, idempotent: true })
  }

  /** What to spawn in order to run a command inside a container. */
  exec(request: ExecRequest): Promise<ExecInvocation> {
    return this.#ask({ method: 'POST', path: '/v1/exec', body: request, idempotent: true })
  }

  /** What to spawn in order to start a container that an `up` with `oneOff` has made. */
  launch(request: LaunchRequest): Promise<ExecInvocation> {
    return this.#ask({ method: 'POST', path: '/v1/launch', body: request, idempotent: false })
  }

  async launchEnd(end: LaunchEnd): Promise<void> {
    await this.#ask({ method: 'POST', path: '/v1/launch/end', body: end, idempotent: true })
  }

  /** A tar of one thing in a container. */
  readFiles(at: CopyPlace, signal?: AbortSignal): Promise<Readable> {
    const path = `/v1/files${query({ ...at })}`
    return this.#transport.stream({ method: 'GET', path, idempotent: true, signal })
  }

  /** Unpack a tar in a container. */
  async writeFiles(at: CopyPlace, archive: Readable, signal?: AbortSignal): Promise<void> {
    const path = `/v1/files${query({ ...at })}`
    await this.#ask({ method: 'POST', path, upload: archive, idempotent: false, signal })
  }

  async *#operate(
    path: string,
    content: Pick<Call, 'body' | 'pending'>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<OperationLine> {
    // Applying is idempotent: as long as nothing was answered, it may be asked again.
    const call = { method: 'POST', path, ...content, idempotent: true, signal } as const
    for await (const line of this.#transport.lines(call) as AsyncIterable<unknown>) {
      const known = line as OperationLine
      if (known.type === 'result') await gone(known.leaving)
      yield known
    }
  }

  #get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.#ask({ method: 'GET', path, idempotent: true, signal })
  }

  async #ask<T>(call: Call): Promise<T> {
    return (await this.#transport.json(call)) as T
  }
}

/** After the last `down`, nothing of pak is left when the command returns. */
async function gone(pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + LEAVING_TIMEOUT_MS
  for (const pid of pids)
    while ((await isThere(pid)) && performance.now() < deadline) await sleep(3)
}

/** A zombie has left all that it held; when it is reaped is for its parent to say, and some are slow. */
async function isThere(pid: number): Promise<boolean> {
  const { hostKernel } = await import('../kernel/host.ts')
  const { identify } = await import('../kernel/process.ts')
  return (await identify(hostKernel, pid)) !== null
}

/** A generator that does not wait for its reader to begin. */
function begun<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  const first = source.next()
  // Whoever never reads it does not want to know.
  first.catch(() => {})
  return (async function* () {
    const { done, value } = await first
    if (done === true) return
    yield value
    yield* source
  })()
}

const upPath = (project: string): string => `/v1/projects/${project}/up`

const samplePath = (what: 'stats' | 'top', { project, sampleMs }: SampleQuery): string =>
  `/v1/${what}${query({ project, sampleMs: String(sampleMs) })}`

function archiveCall(
  path: string,
  source: string | Readable,
  words: Readonly<Record<string, string>>,
): Call {
  const isPath = typeof source === 'string'
  const target = `${path}${query({ ...words, path: isPath ? source : null })}`
  const call = { method: 'POST', path: target, idempotent: isPath } as const
  return isPath ? call : { ...call, upload: source }
}

function query(words: Readonly<Record<string, string | null>>): string {
  const given = Object.entries(words).flatMap(([key, value]) =>
    value === null ? [] : [`${key}=${encodeURIComponent(value)}`],
  )
  return given.length === 0 ? '' : `?${given.join('&')}`
}
