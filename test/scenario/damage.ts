import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { historyOf } from '../support/history.ts'
import type { PakSandbox } from '../support/pak.ts'
import { cgroupOf } from './lab.ts'

export const within3s = (what: string, check: () => boolean): Promise<unknown> =>
  eventually(what, check, { withinMs: 3_000 })

/** Events so far, each as `type address fact`; `pak events` would not end. */
export function eventsOf(pak: PakSandbox): readonly string[] {
  return historyOf(pak.root).map(
    ({ type, on, because }) => `${type} ${on} ${because?.kind === 'drift' ? because.fact : ''}`,
  )
}

export async function told(pak: PakSandbox, event: RegExp): Promise<void> {
  await eventually(`an event like ${event}`, async () => {
    const events = eventsOf(pak)
    assert.ok(
      events.some((one) => event.test(one)),
      events.at(-1),
    )
    return true
  })
}

/** Long enough for the agent to have looked once: what it watches it has found by then. */
export async function settled(pak: PakSandbox): Promise<void> {
  const from = Date.now()
  await eventually('the agent has looked', async () => {
    await pak.ok(['ps'])
    return Date.now() - from > 2_500
  })
}

export const number = (file: string): number => Number(readFileSync(file, 'utf8'))

/** Where a process's memory limit is. */
export function memoryFile(pid: number): string {
  const folder = cgroupOf(pid, 'memory')
  const old = join(folder, 'memory.limit_in_bytes')
  return existsSync(old) ? old : join(folder, 'memory.max')
}

/** Run in a process's namespace, as `nsenter` names it. */
export const within = (pid: number, namespace: 'net' | 'mnt', ...command: readonly string[]) => {
  const option = namespace === 'net' ? '--net' : '--mount'
  return execFileSync('nsenter', [`${option}=/proc/${pid}/ns/${namespace}`, ...command], {
    encoding: 'utf8',
  })
}
