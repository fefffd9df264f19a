import type { FieldChange, Reason } from '../model/plan.ts'

/** A reason in words, on one line. */
export function reasonText(reason: Reason): string {
  switch (reason.kind) {
    case 'missing':
      return 'missing'
    case 'changed':
      return reason.fields.map(changeText).join(', ')
    case 'orphan':
      return 'not in the file'
    case 'scaled':
      return `scaled from ${reason.from} to ${reason.to}`
    case 'exited':
      return exitText(reason)
    case 'oom':
      return oomText(reason)
    case 'unhealthy':
      return unhealthyText(reason)
    case 'failed':
      return shortened(printable(reason.message))
    case 'drift':
      return `drift: ${printable(reason.fact)}`
    case 'batch':
      return `update of ${reason.service}, batch ${reason.number} of ${reason.of}`
    case 'surge':
      return `one more while ${reason.service} is updated`
    case 'dependency':
      return `because of ${reason.service}`
    case 'requested':
      return `asked for: ${printable(reason.by)}`
  }
}

/** `environment.GREETING: "hi" -> "hello"`. */
export const changeText = ({ path, from, to }: FieldChange): string =>
  `${printable(path)}: ${valueText(from)} -> ${valueText(to)}`

function exitText({ exitCode, oomKilled }: Extract<Reason, { kind: 'exited' }>): string {
  if (exitCode < 0) return 'ended while nobody watched'
  return `exited with ${exitCode}${oomKilled ? ', out of memory' : ''}`
}

function oomText({ peakBytes, limitBytes, process }: Extract<Reason, { kind: 'oom' }>): string {
  const who = process === null ? '' : `: ${printable(process.name)} (pid ${process.pid}) was killed`
  const peak = peakBytes === null ? '' : `, peak ${mebibytes(peakBytes)}`
  return `out of memory${who}${peak}${limitBytes === null ? '' : ` of ${mebibytes(limitBytes)}`}`
}

const mebibytes = (bytes: number): string => `${Number((bytes / 1_048_576).toFixed(1))} MiB`

function unhealthyText({ output }: Extract<Reason, { kind: 'unhealthy' }>): string {
  const [line = ''] = (output ?? '').trim().split('\n', 1)
  return line === '' ? 'unhealthy' : `unhealthy: ${shortened(printable(line))}`
}

const VALUE_LIMIT = 200

function valueText(value: unknown): string {
  if (value === null || value === undefined) return 'none'
  return shortened(printable(JSON.stringify(value)))
}

const shortened = (text: string): string =>
  text.length <= VALUE_LIMIT ? text : `${text.slice(0, VALUE_LIMIT - 1)}…`

/** Values are anybody's: nothing in them may steer the terminal or turn the line around. */
const printable = (text: string): string =>
  text.replace(
    /\p{Cc}|\p{Cf}|\u2028|\u2029/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
