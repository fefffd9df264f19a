import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { PakError } from '../../errors.ts'
import { isOwnTransaction } from '../../kernel/nft.ts'
import { spawnProgram } from '../../kernel/spawn.ts'

const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 300_000
/** One transaction may be a million lines; what is looked for is in the first of them, or is looked at anyway. */
const MOST_LINES = 10_000
/** What it hears it keeps some of: then another one takes its place. */
const MOST_TRANSACTIONS = 50_000

/**
 * `nft monitor` (nft(8)) says what others change in the ruleset, one transaction at a time; `null`: some may
 * have gone by unheard. Of what this process has changed only that it has is told. It dies with the agent, also
 * with one that is killed; where it cannot run, the loop's timer finds what is different, later.
 */
export function watchTable(
  onChange: (events: readonly string[] | null) => void,
  onOwn: () => void,
): Disposable {
  let child: ChildProcess | null = null
  let retry: NodeJS.Timeout | null = null
  let closed = false
  let delayMs = FIRST_RETRY_MS
  const later = () => {
    retry = setTimeout(() => begin(true), delayMs).unref()
    delayMs = Math.min(delayMs * 2, LONGEST_RETRY_MS)
  }
  const begin = (again: boolean) => {
    try {
      start()
      if (again) onChange(null)
    } catch (error) {
      if (!(error instanceof PakError)) throw error
      later()
    }
  }
  const start = () => {
    const monitor = spawnProgram('setpriv', ['--pdeathsig', 'KILL', 'nft', 'monitor'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    child = monitor
    let events: string[] = []
    let heard = 0
    createInterface({ input: monitor.stdout }).on('line', (line) => {
      delayMs = FIRST_RETRY_MS
      const end = transactionEnd(line)
      if (end === null && events.length < MOST_LINES) events.push(line)
      if (end === null) return
      const all = events
      events = []
      if (end === 'lost') onChange(null)
      else if (isOwnTransaction(end)) onOwn()
      else onChange(all)
      if (++heard === MOST_TRANSACTIONS) monitor.kill('SIGKILL')
    })
    monitor.once('error', () => ended(monitor))
    monitor.once('close', () => ended(monitor))
    monitor.unref()
  }
  const ended = (monitor: ChildProcess) => {
    if (closed || child !== monitor) return
    child = null
    later()
  }
  begin(false)
  return {
    [Symbol.dispose]() {
      closed = true
      if (retry !== null) clearTimeout(retry)
      child?.kill('SIGKILL')
    },
  }
}

/** The process whose transaction ends with this line, 0 for a line that does not say; `null`: it is not the last one. */
function transactionEnd(line: string): number | 'lost' | null {
  if (line.startsWith('# new generation')) return Number(/ by process (\d+)/.exec(line)?.[1] ?? 0)
  return line.startsWith('# ERROR') ? 'lost' : null
}
