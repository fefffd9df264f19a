import { setTimeout as sleep } from 'node:timers/promises'

/** How much slower than usual this machine is; deadlines are multiplied by it. */
export const slowness = Math.max(1, Number(process.env['PAK_TEST_SLOW'] ?? 1) || 1)

export interface EventuallyOptions {
  /** Default 10 000, on a machine of usual speed. */
  readonly withinMs?: number
  /** Default 50. */
  readonly everyMs?: number
}

/**
 * The first result of `attempt` that does not throw and is neither `false`, `null` nor `undefined`.
 * When the deadline passes, the last error (or the last result) is in the message.
 */
export async function eventually<T>(
  what: string,
  attempt: () => T | Promise<T>,
  { withinMs = 10_000, everyMs = 50 }: EventuallyOptions = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = Date.now() + withinMs * slowness
  for (;;) {
    let last: unknown
    try {
      const result = await attempt()
      if (result !== false && result !== null && result !== undefined)
        return result as NonNullable<Exclude<T, false>>
      last = result
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline)
      throw new Error(`${what}: not within ${withinMs * slowness} ms; last: ${describe(last)}`, {
        cause: last,
      })
    await sleep(everyMs)
  }
}

const describe = (value: unknown): string =>
  value instanceof Error ? value.message : JSON.stringify(value)
