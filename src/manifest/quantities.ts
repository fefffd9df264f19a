import { Refusal } from './context.ts'
import { shown } from './problem.ts'

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** The longest time that a timer takes. */
const MOST_MS = 2 ** 31 - 1

/** `1m30s`, `500ms`, `1.5h` as whole milliseconds. */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map(([whole]) => whole).join('') !== text)
    throw new Refusal(`expected a duration such as \`30s\` or \`1m30s\`, got ${shown(text)}`)
  const ms = parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNIT_MS[unit ?? ''] ?? 0), 0)
  if (ms > MOST_MS) throw new Refusal(`a duration is at most 24 days, got ${shown(text)}`)
  return Math.round(ms)
}

const POWERS = 'bkmgtp'

/** Bytes: a plain number, or with b, k, m, g, t or p, each 1024 times the one before, as Docker counts. */
export function parseSize(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?) ?(?:([bkmgtp])(?:i?b)?)?$/i.exec(text)
  if (match === null) throw new Refusal(`expected a size such as \`64M\`, got ${shown(text)}`)
  const power = POWERS.indexOf((match[2] ?? 'b').toLowerCase())
  const bytes = Math.floor(Number(match[1]) * 1024 ** power)
  if (!Number.isSafeInteger(bytes)) throw new Refusal(`size ${shown(text)} is too large`)
  return bytes
}

/** `0.5`, `1.5` CPUs or `25%` of one CPU as thousandths of a CPU. */
export function parseCpu(text: string): number {
  const match = /^([0-9]*\.?[0-9]+)(%?)$/.exec(text)
  if (match === null)
    throw new Refusal(
      `expected a number of CPUs such as \`0.5\` or a share such as \`25%\`, got ${shown(text)}`,
    )
  const millis = Math.round(Number(match[1]) * (match[2] === '%' ? 10 : 1000))
  // The kernel takes no quota below 1 ms of each 100 ms.
  if (millis < 10) throw new Refusal(`a CPU limit is at least 1%, got ${shown(text)}`)
  if (millis > 10_000_000)
    throw new Refusal(`a CPU limit is at most 10000 CPUs, got ${shown(text)}`)
  return millis
}

/** A whole number between two bounds, both included. */
export function parseInteger(bounds: {
  readonly what: string
  readonly least: number
  readonly most: number
}): (text: string) => number {
  const { what, least, most } = bounds
  return (text) => {
    const value = /^-?[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most))
      throw new Refusal(`${what} must be ${least}-${most}, got ${shown(text)}`)
    return value
  }
}

/** Octal permission bits, `1777`, `0755` or `0o755`. */
export function parseMode(text: string): number {
  const match = /^(?:0o?)?([0-7]{1,4})$/.exec(text)
  if (match === null)
    throw new Refusal(`expected permission bits in octal such as \`1777\`, got ${shown(text)}`)
  return Number.parseInt(match[1] ?? '0', 8)
}

/** The kernel's list format in its shortest form: `2,0,1` is `0-2`. */
export function parseCpuset(text: string): string {
  const cpus = new Set<number>()
  for (const part of text.split(',')) {
    const match = /^ *([0-9]{1,4})(?:-([0-9]{1,4}))? *$/.exec(part)
    const first = Number(match?.[1])
    const last = Number(match?.[2] ?? match?.[1])
    if (match === null || last < first)
      throw new Refusal(`expected a list of CPUs such as \`0-2,4\`, got ${shown(text)}`)
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu)
  }
  return ranges([...cpus].sort((a, b) => a - b))
}

function ranges(sorted: readonly number[]): string {
  const made: string[] = []
  for (let n = 0; n < sorted.length; n++) {
    const first = sorted[n]
    while (sorted[n + 1] === (sorted[n] ?? 0) + 1) n++
    made.push(first === sorted[n] ? `${first}` : `${first}-${sorted[n]}`)
  }
  return made.join(',')
}
