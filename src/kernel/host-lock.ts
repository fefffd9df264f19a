import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const WAIT_MS = 10_000
const POLL_MS = 5

/**
 * Run `work` while nobody else does, in this network namespace, under the same name: not in this process
 * nor in an agent of other state roots. The lock is an abstract socket (unix(7)), which belongs to the
 * network namespace as links and routes do, and ends with its process. Anybody may squat on the name, so
 * after 10 s the work is done without it.
 */
export async function withHostLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + WAIT_MS
  let lock = await tryListen(name)
  while (lock === null && performance.now() < deadline) {
    await sleep(POLL_MS)
    lock = await tryListen(name)
  }
  try {
    return await work()
  } finally {
    lock?.close()
  }
}

async function tryListen(name: string): Promise<{ close(): void } | null> {
  const server = createServer((stranger) => stranger.destroy())
  server.listen({ path: `\0pak/${name}`, exclusive: true })
  try {
    await once(server, 'listening')
    return server
  } catch {
    return null
  }
}
