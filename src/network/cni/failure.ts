import type { JsonObject } from '../../model/cni.ts'

/** So much of a plugin's words reaches the user. */
const MOST_CHARACTERS = 1_000

/** Why a plugin failed: its error (CNI's specification, section 5), else the end of what it said otherwise. */
export function complaintOf(answer: {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}): string {
  const { msg, details } = objectIn(answer.stdout) ?? {}
  const told = [msg, details].flatMap((words) => (typeof words === 'string' ? words.trim() : []))
  const words = told.filter((each, at) => each !== '' && told.indexOf(each) === at).join(': ')
  const rest = words || lastLine(answer.stderr) || lastLine(answer.stdout)
  return shortened(rest || `exit status ${answer.exitCode}, without a word`)
}

/** The one JSON object that a text is; `null` for anything else. */
export function objectIn(text: string): JsonObject | null {
  try {
    const parsed: unknown = JSON.parse(text)
    const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
    return isObject ? (parsed as JsonObject) : null
  } catch {
    return null
  }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim() ?? ''

/** A plugin's words go to terminals and logs. */
function shortened(text: string): string {
  const clean = text.replace(/\p{Cc}+/gu, ' ')
  return clean.length > MOST_CHARACTERS ? `${clean.slice(0, MOST_CHARACTERS)}...` : clean
}
