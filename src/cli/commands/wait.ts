import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentClient } from '../../agent/client.ts'
import type { ContainerRow } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { ProgressItem } from '../items.ts'

interface WaitRequest {
  readonly project: string
  readonly services: readonly string[]
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

const POLL_MS = 100

/**
 * `up --wait`: until each container is healthy, or runs where it has no check, or has done its work
 * with exit code 0. A container that failed ends the wait at once.
 */
export async function* waitUntilReady(
  agent: AgentClient,
  { project, services, timeoutMs, signal }: WaitRequest,
): AsyncGenerator<ProgressItem> {
  const deadline = Date.now() + timeoutMs
  let told = ''
  for (;;) {
    const rows = (await agent.containers(project)).filter((row) => services.includes(row.service))
    const failed = rows.find(hasFailed)
    if (failed !== undefined) throw failure(failed)
    const waiting = rows.filter((row) => !isReady(row)).map((row) => row.container)
    if (waiting.length === 0) return
    const text = `waiting for ${waiting.join(', ')}`
    if (text !== told) yield { type: 'note', text }
    told = text
    if (Date.now() >= deadline)
      throw new PakError('timeout', `wait for \`${waiting[0]}\`: not ready after ${timeoutMs} ms`)
    await sleep(POLL_MS, undefined, { signal })
  }
}

function isReady(row: ContainerRow): boolean {
  if (row.state === 'stopped') return row.exitCode === 0
  return row.state === 'running' && (row.health === null || row.health === 'healthy')
}

const hasFailed = (row: ContainerRow): boolean =>
  row.health === 'unhealthy' ||
  row.state === 'paused' ||
  (row.state === 'stopped' && row.exitCode !== 0)

function failure(row: ContainerRow): PakError {
  if (row.state === 'paused')
    return new PakError('conflict', `wait for \`${row.container}\`: it is paused`, {
      hint: `pak unpause ${row.service}`,
    })
  return row.health === 'unhealthy'
    ? new PakError('unhealthy', `wait for \`${row.container}\`: its health check says unhealthy`)
    : new PakError('exited', `wait for \`${row.container}\`: exited with ${row.exitCode}`, {
        hint: `pak logs ${row.service} shows what it said`,
      })
}
