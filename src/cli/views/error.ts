import { knownError, PakError } from '../../errors.ts'
import type { Terminal } from '../terminal.ts'

/** Prints what went wrong on stderr and gives the exit status. Only a bug shows its stack. */
export function printError(error: unknown, terminal: Terminal): number {
  const { red, dim } = terminal.errorColors
  const known = asPakError(error)
  if (known === null) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    terminal.warn(`${red('error:')} this is a bug in pak\n${text}`)
    terminal.warn(`${dim('hint:')} please report it with the command and the manifest`)
    return 1
  }
  if (known.code === 'cancelled') {
    terminal.warn(`${red('error:')} ${known.message}`)
    return 130
  }
  // The manifest's problems come rendered, each with its file, line and caret.
  const rendered = known.code === 'manifest' && known.message.includes('\n')
  terminal.warn(rendered ? known.message : `${red('error:')} ${known.message}`)
  if (known.hint !== null) terminal.warn(`${dim('hint:')} ${known.hint}`)
  return known.exitStatus
}

/** An aborted wait surfaces as the signal's reason, or as Node's own AbortError. */
function asPakError(error: unknown): PakError | null {
  const shown = knownError(error)
  if (shown !== null) return shown
  if (error instanceof Error && error.name === 'AbortError') {
    return error.cause instanceof PakError
      ? error.cause
      : new PakError('cancelled', 'interrupted', { cause: error })
  }
  return null
}
