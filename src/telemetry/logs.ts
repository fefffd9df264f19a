import { watch } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ContainerLog, type LogEntry } from './container-log.ts'
import { logFolder, logSources, type SourceRequest } from './sources.ts'

export type { LogEntry } from './container-log.ts'
export { logSources, silentSources } from './sources.ts'

export interface LogRequest extends SourceRequest {
  /** Go on after the end, with containers that come later too. */
  readonly follow: boolean
  /** The last lines of each container; null: all. */
  readonly tail: number | null
  /** Milliseconds since 1970. */
  readonly sinceMs: number | null
  readonly untilMs: number | null
  /** Ends the stream. */
  readonly signal: AbortSignal
}

/** inotify tells of new lines; this is for file systems where it does not. */
const POLL_MS = 500
/** A line that has begun is shown after this long, though its end has not come. */
const PARTIAL_MS = 200

/**
 * The lines of a project's containers, merged by time. Memory is bounded by the number of containers.
 * Followed, it ends with its signal or at `untilMs`; lines of different containers that arrive together
 * are sorted, later ones come later.
 */
export async function* readLogs(request: LogRequest): AsyncGenerator<LogEntry> {
  const logs: Logs = new Map()
  try {
    await addSources(logs, request, request.tail)
    const wanted = within(request)
    for await (const entry of past([...logs.values()], request)) if (wanted(entry)) yield entry
    if (request.follow) yield* future(logs, request)
  } finally {
    await Promise.all([...logs.values()].map((log) => log.close()))
  }
}

/** By container. */
type Logs = Map<string, ContainerLog>

/** Lines that exist now: always the earliest of the logs' next ones. */
async function* past(
  logs: readonly ContainerLog[],
  { follow, signal }: LogRequest,
): AsyncGenerator<LogEntry> {
  const started = BigInt(Date.now()) * 1_000_000n
  const queues = logs.map((log) => ({ log, entries: [] as readonly LogEntry[], at: 0, open: true }))
  for (;;) {
    if (signal.aborted) return
    let first: (typeof queues)[number] | null = null
    for (const queue of queues) {
      if (queue.open && queue.at >= queue.entries.length) {
        queue.entries = await queue.log.read()
        queue.at = 0
        if (queue.entries.length === 0) {
          queue.open = false
          if (!follow) queue.entries = queue.log.flush()
        }
        // A container that writes faster than it is read must not keep this from ending.
        if ((queue.entries[0]?.order ?? 0n) > started) queue.open = false
      }
      const next = queue.entries[queue.at]
      const best = first?.entries[first.at]
      if (next !== undefined && (best === undefined || next.order < best.order)) first = queue
    }
    const entry = first?.entries[first.at]
    if (first === null || entry === undefined) return
    first.at += 1
    yield entry
  }
}

async function* future(logs: Logs, request: LogRequest): AsyncGenerator<LogEntry> {
  const wanted = within(request)
  // Links lie in the one, what is written in the other.
  const folder = logFolder(request)
  using changes = folderChanges([folder, join(folder, 'kept')])
  let quietSince = Date.now()
  while (!request.signal.aborted && Date.now() <= (request.untilMs ?? Number.POSITIVE_INFINITY)) {
    const changed = changes.next()
    // A container that is new since then is read from its first line: nothing of it was missed.
    await addSources(logs, request, null)
    const open = [...logs.values()]
    const entries = (await Promise.all(open.map((log) => log.read()))).flat()
    const quiet = Date.now() - quietSince >= PARTIAL_MS
    if (entries.length > 0) quietSince = Date.now()
    else if (quiet) entries.push(...open.flatMap((log) => log.flush()))
    entries.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0))
    for (const entry of entries) if (wanted(entry)) yield entry
    if (entries.length === 0) await changed.within(quiet ? POLL_MS : PARTIAL_MS, request.signal)
  }
}

async function addSources(logs: Logs, request: LogRequest, tail: number | null): Promise<void> {
  const fresh = await logSources(request, new Set(logs.keys()))
  await Promise.all(
    fresh.map(async (source) => {
      const log = new ContainerLog(source)
      logs.set(source.container, log)
      await log.seek(tail)
    }),
  )
}

function within({ sinceMs, untilMs }: LogRequest): (entry: LogEntry) => boolean {
  const since = sinceMs === null ? null : BigInt(sinceMs) * 1_000_000n
  const until = untilMs === null ? null : BigInt(untilMs) * 1_000_000n
  return ({ order }) => (since === null || order >= since) && (until === null || order <= until)
}

interface Changes extends Disposable {
  /** Taken before looking, so that a change while looking is not slept through. */
  next(): { within(ms: number, signal: AbortSignal): Promise<void> }
}

function folderChanges(folders: readonly string[]): Changes {
  let wake: () => void = () => {}
  const watchers = new Map<string, ReturnType<typeof watch>>()
  const stopWatching = (folder: string) => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const startWatching = (folder: string) => {
    if (watchers.has(folder)) return
    try {
      const watcher = watch(folder, { persistent: false }, () => wake())
      watchers.set(
        folder,
        watcher.on('error', () => stopWatching(folder)),
      )
    } catch {
      // It is not there yet, or inotify has no watch left: then the timer looks.
    }
  }
  return {
    next() {
      for (const folder of folders) startWatching(folder)
      const changed = new Promise<void>((resolve) => {
        wake = resolve
      })
      return {
        async within(ms, signal) {
          const ended = new AbortController()
          const timer = sleep(ms, undefined, {
            signal: AbortSignal.any([signal, ended.signal]),
          }).catch(() => {})
          await Promise.race([changed, timer])
          ended.abort()
        },
      }
    },
    [Symbol.dispose]() {
      for (const folder of folders) stopWatching(folder)
    },
  }
}
