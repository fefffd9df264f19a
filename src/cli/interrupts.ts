import { PakError } from '../errors.ts'

/** ^C once asks to end well, twice to end now. SIGTERM and SIGHUP count as ^C. */
export interface Interrupts {
  /** Aborts at the first one. */
  readonly signal: AbortSignal
  /** Aborts at the second one. */
  readonly force: AbortSignal
  /** From now on the command acts on `force` itself; without this the second ^C ends pak. */
  handleForce(): void
  /** From now on they are somebody else's: the command in the container gets them from the terminal. */
  ignore(): void
}

/** Listens on this process until it ends. A third ^C always ends pak. */
export function processInterrupts(): Interrupts {
  const graceful = new AbortController()
  const forced = new AbortController()
  let forceHandled = false
  let ignored = false
  const onSignal = () => {
    if (ignored) return
    if (!graceful.signal.aborted) {
      graceful.abort(new PakError('cancelled', 'interrupted'))
      return
    }
    if (forced.signal.aborted || !forceHandled) process.exit(130)
    forced.abort(new PakError('cancelled', 'interrupted twice'))
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal)
  return {
    signal: graceful.signal,
    force: forced.signal,
    handleForce: () => {
      forceHandled = true
    },
    ignore: () => {
      ignored = true
    },
  }
}
