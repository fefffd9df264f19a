import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentClient } from '../../agent/client.ts'
import type { OperationLine } from '../../agent/wire.ts'
import { readLogs } from '../../telemetry/logs.ts'
import type { Invocation } from '../grammar.ts'
import type { ProgressItem } from '../items.ts'

interface AttachRequest {
  readonly invocation: Invocation
  readonly project: string
  readonly services: readonly string[]
  readonly sinceMs: number
}

const POLL_MS = 500

/**
 * A foreground `up`: the containers' lines until ^C, then stop them; a second ^C kills them. Ends by
 * itself when no container is left that runs or will.
 */
export async function* attach(
  agent: AgentClient,
  { invocation, project, services, sinceMs }: AttachRequest,
): AsyncGenerator<ProgressItem> {
  const { interrupts, globals, flags } = invocation
  interrupts.handleForce()
  const ended = new AbortController()
  const signal = AbortSignal.any([interrupts.signal, ended.signal])
  const watching = untilAllEnded(agent, { project, services, signal }).then((done) => {
    if (done) ended.abort()
  })
  const request = { root: globals.root, project, services, tail: null, sinceMs, untilMs: null }
  for await (const entry of readLogs({ ...request, follow: true, signal }))
    yield { type: 'log', entry }
  await watching
  if (!interrupts.signal.aborted) {
    yield { type: 'message', text: 'all containers have ended' }
    return
  }
  yield { type: 'message', text: 'stopping; press ^C again to kill' }
  const stop = (graceMs: number | null, signal?: AbortSignal) =>
    interrupted(
      agent.action(
        project,
        {
          action: 'stop',
          services,
          options: { graceMs, signal: null, force: false, detached: false },
        },
        signal,
      ),
    )
  try {
    yield* stop(flags.seconds('timeout'), interrupts.force)
  } catch (error) {
    if (!interrupts.force.aborted) throw error
    yield { type: 'message', text: 'killing' }
    // A stop without grace, and not a kill: nothing that always restarts may come back.
    yield* stop(0)
  }
}

/** However well it was stopped, `up` ended because of ^C. */
async function* interrupted(lines: AsyncIterable<OperationLine>): AsyncGenerator<ProgressItem> {
  for await (const line of lines) yield line.type === 'result' ? { ...line, cancelled: true } : line
}

interface EndRequest {
  readonly project: string
  readonly services: readonly string[]
  readonly signal: AbortSignal
}

async function untilAllEnded(agent: AgentClient, request: EndRequest): Promise<boolean> {
  while (!request.signal.aborted) {
    await sleep(POLL_MS, undefined, { signal: request.signal }).catch(() => {})
    if (request.signal.aborted) return false
    // An agent that is just being restarted is asked again.
    const rows = await agent.containers(request.project).catch(() => null)
    const mine = rows?.filter((row) => request.services.includes(row.service)) ?? null
    if (mine?.every((row) => row.state === 'stopped') === true) return true
  }
  return false
}
