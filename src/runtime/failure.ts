import { type ErrorCode, PakError } from '../errors.ts'

/**
 * What an OCI runtime wrote about a command that it could not start, as pak's error: `command_not_found`
 * (127), `command_not_executable` (126), else `runtime`. Reads the words of crun, runc and youki; the
 * runtime resolves the command inside the container, so only it can know. `asked`: the command, for
 * where the runtime does not say which one it was.
 */
export function commandFailure(
  text: string,
  operation: string,
  asked: string | null = null,
): PakError {
  const reason = reasonOf(text)
  const code = failureCode(reason)
  const command = /`([^`]+)` not found|exec: "([^"]+)"/.exec(reason)
  const name = command?.[1] ?? command?.[2] ?? asked
  if (code === 'command_not_found' && name !== null)
    return new PakError(code, `${operation}: command \`${name}\` not found in the container`)
  if (code === 'command_not_executable' && name !== null)
    return new PakError(code, `${operation}: command \`${name}\` cannot be executed: ${reason}`)
  return new PakError(code, `${operation}: ${reason}`)
}

/** The exit status that a shell would give for it: 127, 126, or 125 where the runtime itself failed. */
export function failureStatus(text: string): 125 | 126 | 127 {
  const code = failureCode(reasonOf(text))
  if (code === 'command_not_found') return 127
  return code === 'command_not_executable' ? 126 : 125
}

function failureCode(reason: string): ErrorCode {
  const aboutCommand = /executable|exec:|exec user process|execve|exec `/i.test(reason)
  if (!aboutCommand) return 'runtime'
  if (/not found|no such file or directory/i.test(reason)) return 'command_not_found'
  if (/permission denied|not permitted|exec format error|is a directory/i.test(reason))
    return 'command_not_executable'
  return 'runtime'
}

const MAX_REASON = 1000

/** The errors among its log lines, plain, logfmt or JSON; warnings are no reason. */
function reasonOf(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const messages = lines.map(messageOf).filter((message) => message !== null)
  const reason = (messages.length > 0 ? messages.join('; ') : lines.join('; ')).slice(0, MAX_REASON)
  return reason === '' ? 'the runtime gave no reason' : reason
}

function messageOf(line: string): string | null {
  if (line.startsWith('{')) return jsonMessage(line)
  const [, level, message] = /level=(\w+) msg=(".*"|\S+)/.exec(line) ?? []
  if (level !== undefined && message !== undefined)
    return level === 'error' || level === 'fatal' ? unquote(message) : null
  return line
}

function jsonMessage(line: string): string | null {
  try {
    const parsed: unknown = JSON.parse(line)
    if (parsed === null || typeof parsed !== 'object') return line
    const { level, msg } = parsed as { readonly level?: unknown; readonly msg?: unknown }
    return typeof msg !== 'string' || level === 'warning' || level === 'info' || level === 'debug'
      ? null
      : msg
  } catch {
    return line
  }
}

function unquote(text: string): string {
  try {
    return text.startsWith('"') ? String(JSON.parse(text)) : text
  } catch {
    return text
  }
}
