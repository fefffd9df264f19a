import { knownError, PakError } from '../../errors.ts'
import type { RunContext, StepOutcome } from '../executor.ts'

/**
 * Do the work for each item with bounded concurrency. An expected error is that item's outcome; the
 * others go on. A bug rejects, after all that was under way has ended.
 */
export async function forEach<T>(
  items: readonly T[],
  context: Pick<RunContext, 'concurrency' | 'signal'>,
  work: (item: T, index: number) => Promise<void>,
): Promise<StepOutcome[]> {
  const outcomes: StepOutcome[] = items.map(() => null)
  const bugs: unknown[] = []
  let next = 0
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index]
      if (item === undefined) continue
      try {
        if (context.signal.aborted) throw new PakError('cancelled', 'apply: interrupted')
        await work(item, index)
      } catch (error) {
        const outcome = expected(error)
        if (outcome === null) bugs.push(error)
        else outcomes[index] = outcome
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(context.concurrency, items.length) }, worker))
  if (bugs.length > 0) throw bugs[0]
  return outcomes
}

/** Amid work on the host what the system refuses is the host's doing, not a bug. */
export function expected(error: unknown): PakError | null {
  const known = knownError(error)
  if (known !== null) return known
  if (error instanceof Error && 'syscall' in error && 'code' in error)
    return new PakError('storage', `${String(error.syscall)}: ${error.message}`, { cause: error })
  return null
}

/** The same; a bug is thrown on. */
export function failureOf(error: unknown): PakError {
  const outcome = expected(error)
  if (outcome === null) throw error
  return outcome
}
