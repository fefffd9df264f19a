import type { ChildProcess } from 'node:child_process'
import { PakError } from '../../errors.ts'
import { spawnProgram } from '../../kernel/spawn.ts'

const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 300_000

/**
 * `nft monitor` (nft(8)) says what goes from the ruleset. It dies with the agent, also with one that is
 * killed; where it cannot run, the loop's timer finds what is missing, later.
 */
export function watchTable(onEvents: (events: readonly string[]) => void): Disposable {
  let child: ChildProcess | null = null
  let retry: NodeJS.Timeout | null = null
  let closed = false
  let delayMs = FIRST_RETRY_MS
  const later = () => {
    retry = setTimeout(begin, delayMs).unref()
    delayMs = Math.min(delayMs * 2, LONGEST_RETRY_MS)
  }
  const begin = () => {
    try {
      start()
    } catch (error) {
      if (!(error instanceof PakError)) throw error
      later()
    }
  }
  const start = () => {
    const monitor = spawnProgram('setpriv', ['--pdeathsig', 'KILL', 'nft', 'monitor', 'destroy'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    child = monitor
    monitor.stdout.on('data', (chunk: Buffer) => {
      delayMs = FIRST_RETRY_MS
      // A name cut in two by the buffer is one of many lines: a flush says it again for each chain and set.
      onEvents(chunk.toString('utf8').split('\n'))
    })
    monitor.once('error', () => again(monitor))
    monitor.once('close', () => again(monitor))
    monitor.unref()
  }
  const again = (ended: ChildProcess) => {
    if (closed || child !== ended) return
    child = null
    later()
  }
  begin()
  return {
    [Symbol.dispose]() {
      closed = true
      if (retry !== null) clearTimeout(retry)
      child?.kill('SIGKILL')
    },
  }
}
