import { statSync } from 'node:fs'

const BEAT_MS = 1_000

export interface HeartbeatOptions {
  readonly socketPath: string
  /** The supervisor is gone: nobody would start the agent again. Called every second until it is mended. */
  readonly onOrphaned: () => void
  /** The socket has no name any more, or it is another agent's: nobody can reach this one. */
  readonly onUnreachable: () => void
}

/** A look each second at the two things that nobody tells the agent. */
export function startHeartbeat(options: HeartbeatOptions): Disposable {
  const parent = process.ppid
  const inode = inodeOf(options.socketPath)
  let missed = 0
  const timer = setInterval(() => {
    // Two beats: an agent that tries to leave hides the socket for a moment.
    missed = inodeOf(options.socketPath) === inode ? 0 : missed + 1
    if (missed >= 2) options.onUnreachable()
    else if (process.ppid !== parent) options.onOrphaned()
  }, BEAT_MS)
  timer.unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

const inodeOf = (path: string): number | null =>
  statSync(path, { throwIfNoEntry: false })?.ino ?? null
