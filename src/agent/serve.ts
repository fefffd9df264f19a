import { once } from 'node:events'
import type { Server } from 'node:http'
import { join } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'
import { apiServer } from './api.ts'
import { Contest } from './contest.ts'
import { Departure } from './departure.ts'
import { Desk } from './desk.ts'
import { EventLog } from './events.ts'
import { FailedStarts } from './failed-starts.ts'
import { failpoint } from './failpoint.ts'
import { startHeartbeat } from './heartbeat.ts'
import { KeptStore } from './kept-store.ts'
import { Loop } from './loop.ts'
import { pass } from './operations.ts'
import type { AgentContext, AgentParts, DnsSockets, Roots } from './parts.ts'
import { Prober } from './prober.ts'
import { Reports } from './reports.ts'
import { RestartMemory } from './restarts.ts'
import { refreshHealth, type Workshop } from './work.ts'

export interface ServeOptions {
  readonly roots: Roots
  readonly kernel: Kernel
  readonly version: string
  /** Made once it is known where names are served. */
  readonly parts: (context: AgentContext) => Promise<AgentParts>
  /** A descriptor that listens already, or where to listen. */
  readonly api: { readonly fd: number } | { readonly path: string }
  readonly dns: (DnsSockets & { readonly port: number }) | null
  /** It does not leave when there is nothing to look after. */
  readonly stay: boolean
  /** Ends this process; never before what it has answered is on its way. */
  readonly exit: () => void
  /** Start another supervisor with the same sockets; this process then ends. `null`: it has none. */
  readonly succeed: (() => void) | null
}

/**
 * Take up the work of the agent: the host made ready, everything that runs adopted, requests answered.
 * Resolves when it does; it goes on until `exit` is called.
 */
export async function serve(options: ServeOptions): Promise<Desk> {
  const { roots, kernel } = options
  const socket = join(roots.runRoot, 'pak.sock')
  const opened: { loop: Loop | null } = { loop: null }
  const shop = await openShop(options, (project) =>
    opened.loop?.enqueue(project, 'health', 'status'),
  )
  const loop = openLoop(shop)
  opened.loop = loop
  const watching = shop.parts.executor.watch(({ project, cause, kind }) =>
    loop.enqueue(project, cause, kind),
  )
  const names = new AbortController()
  const departure = new Departure({
    kernel,
    runRoot: roots.runRoot,
    releaseHost: shop.parts.releaseHost,
    close: async () => {
      server.close()
      server.closeIdleConnections()
      // Whoever is still being answered does not keep the connection.
      server.keepAliveTimeout = 1
      beat?.[Symbol.dispose]()
      watching[Symbol.dispose]()
      shop.prober[Symbol.dispose]()
      names.abort()
      await loop[Symbol.asyncDispose]()
    },
  })
  const startedAt = new Date().toISOString()
  const { version, stay, exit } = options
  const desk = new Desk({ shop, loop, departure, socket, version, startedAt, stay, exit })
  const server = apiServer(desk)
  // Nobody's name may be missing from the first answer: all that runs is known, and its health, by then.
  const known = await shop.kept.projects()
  for (const project of known) await refreshHealth(shop, project)
  if (options.dns !== null) await shop.parts.startDns?.(options.dns, names.signal)
  await kernel.replaceFile(
    join(roots.runRoot, 'agent.json'),
    `${JSON.stringify({ pid: process.pid, version, startedAt })}\n`,
  )
  await listen(server, options.api)
  const beat = heartbeat(options, { desk, socket })
  for (const project of known) loop.enqueue(project, 'resumed')
  desk.restartIdleTimer()
  return desk
}

async function openShop(
  { roots, kernel, parts, dns }: ServeOptions,
  look: (project: string) => void,
): Promise<Workshop> {
  const healthFile = join(roots.runRoot, 'health.json')
  const now = () => new Date()
  const events = new EventLog(roots.root)
  const prober: Prober = new Prober({
    probe: (request) => joined.probe(request),
    now,
    onChange: ({ project, on, health, shared, output }) => {
      const type = health === 'healthy' ? 'container.recovered' : 'container.sickened'
      const said = output.slice(0, VERDICT_LENGTH)
      const because = health === 'unhealthy' ? ({ kind: 'unhealthy', output: said } as const) : null
      events.add([{ time: now().toISOString(), project, type, on, because }])
      // Names of replicas depend on health, and so does a restarted agent: it goes on from this file.
      kernel.replaceFile(healthFile, JSON.stringify(prober.snapshot())).catch(() => {})
      if (shared || health === 'unhealthy') look(project)
    },
  })
  const healthOf = (id: string, startedAt: string) => prober.healthOf(id, startedAt)
  const joined = await parts({ ...roots, dnsPort: dns?.port ?? 0, healthOf })
  prober.restore(parseSnapshot(await kernel.readText(healthFile)))
  const kept = new KeptStore(kernel, roots.root)
  return {
    parts: joined,
    kept,
    events,
    prober,
    restarts: new RestartMemory(),
    contest: new Contest(),
    reports: new Reports(),
    failpoint: () => failpoint(kernel, roots.runRoot),
    starts: new FailedStarts(),
    wholeLooks: new Map(),
    now,
  }
}

/** Of a check's output in the event that tells the verdict. */
const VERDICT_LENGTH = 1000

function parseSnapshot(text: string | null): ReturnType<Prober['snapshot']> {
  try {
    // Only the agent writes it, whole or not at all; what is damaged is measured anew.
    return JSON.parse(text ?? '{}') as ReturnType<Prober['snapshot']>
  } catch {
    return {}
  }
}

function openLoop(shop: Workshop): Loop {
  return new Loop({
    pass: (project, why) => pass(shop, project, why),
    onError: (project, error) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      process.stderr.write(`${new Date().toISOString()} project ${project}: ${text}\n`)
    },
  })
}

async function listen(server: Server, api: ServeOptions['api']): Promise<void> {
  server.listen(api)
  await once(server, 'listening')
}

function heartbeat(
  { succeed, exit }: ServeOptions,
  { desk, socket }: { readonly desk: Desk; readonly socket: string },
): Disposable {
  return startHeartbeat({
    socketPath: socket,
    onOrphaned: () => {
      if (succeed === null || desk.loop.busy) return
      succeed()
      exit()
    },
    onUnreachable: () => {
      if (!desk.loop.busy) exit()
    },
  })
}
