import { link, rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { identify, isAlive, type ProcessIdentity } from '../kernel/process.ts'

const POLL_MS = 15

interface LockOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Hold the lock file at `path` until disposed. A lock whose owner is dead is taken over. Rejects with
 * `timeout` when a living owner does not let go within `timeoutMs`.
 */
export async function acquireLock(
  kernel: Kernel,
  path: string,
  { timeoutMs, signal }: LockOptions,
): Promise<AsyncDisposable> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const lock = await tryLock(kernel, path)
    if (lock !== null) return lock
    if (signal?.aborted) throw new PakError('cancelled', `lock \`${path}\`: interrupted`)
    if (performance.now() > deadline)
      throw new PakError('timeout', `lock \`${path}\`: still held after ${timeoutMs} ms`, {
        hint: 'another pak is starting or ending the agent',
      })
    await sleep(POLL_MS)
  }
}

/** The lock, or `null` while another living process, or another caller in this one, holds it. */
export async function tryLock(kernel: Kernel, path: string): Promise<AsyncDisposable | null> {
  // Written whole beside and linked into place: nobody ever reads half a lock.
  const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2, 10)}`
  await writeFile(draft, JSON.stringify(await identify(kernel, process.pid)), { mode: 0o600 })
  try {
    const held = (await placed(draft, path)) || (await stolen(kernel, draft, path))
    return held ? { [Symbol.asyncDispose]: () => rm(path, { force: true }) } : null
  } finally {
    await rm(draft, { force: true })
  }
}

async function placed(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/**
 * Two thieves must not both win: whoever links the guard may replace a stale lock. The guard lives for
 * a moment only; one whose owner was killed just then is itself stale, and swept away.
 */
async function stolen(kernel: Kernel, draft: string, path: string): Promise<boolean> {
  if (!(await isStale(kernel, path))) return false
  const guard = `${path}.steal`
  if (!(await placed(draft, guard))) {
    if (await isStale(kernel, guard)) await rm(guard, { force: true })
    return false
  }
  try {
    if (!(await isStale(kernel, path))) return false
    await rm(path, { force: true })
    return await placed(draft, path)
  } finally {
    await rm(guard, { force: true })
  }
}

async function isStale(kernel: Kernel, path: string): Promise<boolean> {
  const text = await kernel.readText(path)
  if (text === null) return false
  const owner = parseIdentity(text)
  return owner === null || !(await isAlive(kernel, owner))
}

/** From a file that anything may have written; `null` when it is not an identity. */
function parseIdentity(text: string | null): ProcessIdentity | null {
  try {
    const parsed = JSON.parse(text ?? 'null') as { pid?: unknown; startTicks?: unknown } | null
    const { pid, startTicks } = parsed ?? {}
    const isPid = typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 1
    return isPid && typeof startTicks === 'string' ? { pid, startTicks } : null
  } catch {
    return null
  }
}
