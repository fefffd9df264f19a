import type { ErrorFacts } from './model/events.ts'

/** Every way pak can fail: exit status for the shell, and whether trying again can help. */
const CATALOGUE = {
  usage: { exitStatus: 2, retry: false },
  manifest: { exitStatus: 2, retry: false },
  host: { exitStatus: 1, retry: false },
  tool_missing: { exitStatus: 1, retry: false },
  conflict: { exitStatus: 1, retry: false },
  not_found: { exitStatus: 1, retry: false },
  port_taken: { exitStatus: 1, retry: false },
  subnet_taken: { exitStatus: 1, retry: false },
  image_missing: { exitStatus: 1, retry: false },
  image_invalid: { exitStatus: 1, retry: false },
  storage: { exitStatus: 1, retry: true },
  network: { exitStatus: 1, retry: true },
  runtime: { exitStatus: 1, retry: true },
  command_not_found: { exitStatus: 127, retry: false },
  command_not_executable: { exitStatus: 126, retry: false },
  exited: { exitStatus: 1, retry: false },
  hook: { exitStatus: 1, retry: true },
  unhealthy: { exitStatus: 1, retry: false },
  timeout: { exitStatus: 1, retry: true },
  cancelled: { exitStatus: 130, retry: false },
  plan_stale: { exitStatus: 1, retry: false },
  unconfirmed: { exitStatus: 1, retry: false },
  apply: { exitStatus: 1, retry: true },
  agent: { exitStatus: 1, retry: true },
} as const

export type ErrorCode = keyof typeof CATALOGUE

interface PakErrorOptions {
  /** A second line for the reader: what to do about it. */
  readonly hint?: string
  readonly cause?: unknown
}

/**
 * The one error class. Message grammar: operation, `object`: reason; lower case, no "failed to".
 * An error that is not a PakError is a bug in pak, and only then a stack trace is shown.
 */
export class PakError extends Error {
  override readonly name = 'PakError'
  readonly code: ErrorCode
  readonly hint: string | null

  constructor(code: ErrorCode, message: string, options: PakErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? null
  }

  get exitStatus(): number {
    return CATALOGUE[this.code].exitStatus
  }

  get retry(): boolean {
    return CATALOGUE[this.code].retry
  }
}

/** errno(3) of a machine that has run out of something, or will not have it: no bug of whoever hears it. */
const SHORTAGES = {
  ENOSPC: ['storage', 'no space left on the device', 'df and df -i say which file system is full'],
  EDQUOT: ['storage', 'the disk quota is used up', 'quota says whose'],
  EROFS: ['storage', 'the file system is read-only', 'dmesg may say why'],
  EIO: ['storage', 'the disk cannot be read or written', 'dmesg says more'],
  EMFILE: ['host', 'too many open files', 'the agent needs a higher limit, see prlimit(1)'],
  ENFILE: ['host', 'too many open files on this machine', 'see fs.file-max in sysctl(8)'],
  ENOMEM: ['host', 'no memory left', 'free says how much there is'],
  EAGAIN: ['host', 'no more processes may be started', 'see ulimit -u and pids.max'],
} as const satisfies Record<string, readonly [ErrorCode, reason: string, hint: string]>

type Shortage = keyof typeof SHORTAGES
const isShortage = (errno: string): errno is Shortage => Object.hasOwn(SHORTAGES, errno)

/** What was thrown as the PakError that it is, a shortage of the machine's among them; `null`: neither. */
export function knownError(error: unknown): PakError | null {
  if (error instanceof PakError) return error
  if (!(error instanceof Error) || !('code' in error)) return null
  const errno = String(error.code)
  if (!isShortage(errno)) return null
  const { syscall = 'access', path = null } = error as NodeJS.ErrnoException
  const where = typeof path === 'string' && !syscall.includes(path) ? ` \`${path}\`` : ''
  return shortageError(errno, `${syscall}${where}`, error)
}

/** The shortage that an errno stands for, as an error of what was tried. */
export function shortageError(errno: Shortage, operation: string, cause?: unknown): PakError {
  const [code, reason, hint] = SHORTAGES[errno]
  return new PakError(code, `${operation}: ${reason}`, { hint, cause })
}

/** Any thrown value as data that can cross the agent's socket. */
export function errorFacts(error: unknown): ErrorFacts {
  const known = knownError(error)
  if (known !== null) return { code: known.code, message: known.message, hint: known.hint }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'bug', message, hint: null }
}

/** The inverse of `errorFacts`: what came over the wire, as an error again. */
export function errorFromFacts(facts: ErrorFacts): Error {
  if (!Object.hasOwn(CATALOGUE, facts.code)) return new Error(facts.message)
  return new PakError(
    facts.code as ErrorCode,
    facts.message,
    facts.hint === null ? {} : { hint: facts.hint },
  )
}
