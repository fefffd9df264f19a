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

/** Any thrown value as data that can cross the agent's socket. */
export function errorFacts(error: unknown): ErrorFacts {
  if (error instanceof PakError)
    return { code: error.code, message: error.message, hint: error.hint }
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
