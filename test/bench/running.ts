import { readFileSync } from 'node:fs'
import { setTimeout as rest } from 'node:timers/promises'
import type { ProcessFacts } from './measure.ts'

/** Containers that run for a while, with one whose main process may be killed. All of it is gone when it is disposed of. */
export interface Steady extends AsyncDisposable {
  readonly name: string
  /** Of everything that has to run beside the containers themselves. */
  readonly belongs: (process: ProcessFacts) => boolean
  /** Milliseconds of one `stats --no-stream`. */
  readonly look: () => number
  /** Pids of the container that is killed, none while it does not run. */
  readonly victim: () => readonly number[]
}

/** The program that every container runs: before that, a process is still the OCI runtime. */
const PROGRAM = 'sleep'
const LIMIT_MS = 30_000

export function processIn(pids: readonly number[]): number {
  const found = pids.find((pid) => commOf(pid) === PROGRAM)
  if (found === undefined) throw new Error('the container to be killed does not run')
  return found
}

/** When another process of the same program is there. */
export async function runsAgain(victim: Steady['victim'], killed: number): Promise<number> {
  const deadline = performance.now() + LIMIT_MS
  while (performance.now() < deadline) {
    if (victim().some((pid) => pid !== killed && commOf(pid) === PROGRAM)) return performance.now()
    await rest(1)
  }
  throw new Error(`not running again after ${LIMIT_MS} ms`)
}

/** Of a cgroup's file, on v1 and v2; none where it is not there. */
export function pidsIn(file: string): readonly number[] {
  return textOf(file).split('\n').filter(Boolean).map(Number)
}

const commOf = (pid: number): string => textOf(`/proc/${pid}/comm`).trim()

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
