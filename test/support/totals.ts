import { stripVTControlCharacters } from 'node:util'

/** How many tests passed, failed and were skipped. */
export interface Totals {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const NO_TOTALS: Totals = { passed: 0, failed: 0, skipped: 0 }

export const addTotals = (left: Totals, right: Totals): Totals => ({
  passed: left.passed + right.passed,
  failed: left.failed + right.failed,
  skipped: left.skipped + right.skipped,
})

export const closingLine = (totals: Totals): string =>
  `${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`

/** The inverse of `closingLine`, from the last line that has its form; `null` when no line has. */
export function parseClosingLine(output: string): Totals | null {
  const found = [...output.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1)
  if (found === undefined) return null
  return { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3]) }
}

/**
 * What a runner said once more just before its closing line: from the first heading of a failure that is
 * no line of a file's own totals. Empty when nothing failed.
 */
export function repeatedFailures(output: string): readonly string[] {
  const lines = output.split('\n')
  const last = lines.findLastIndex((line) => parseClosingLine(line) !== null)
  const told = lines.slice(0, Math.max(last, 0))
  const begin = told.findLastIndex((line) => /^\S/.test(line) && !isHeading(line)) + 1
  const first = told.findIndex((line, index) => index >= begin && isHeading(line))
  return first < 0 ? [] : told.slice(first)
}

const isHeading = (line: string): boolean =>
  line.startsWith('FAIL ') && !/ \d+ passed, \d+ failed, \d+ skipped /.test(line)

/** What a test file's process showed of itself. */
export interface FileOutcome {
  readonly source: string
  readonly output: string
  /** `null`: it was ended because its time was up. */
  readonly exitCode: number | null
}

export interface Verdict {
  readonly totals: Totals
  /** Why the file fails although no test of its own says so; `null` where there is nothing to say. */
  readonly problem: string | null
}

/**
 * The truth about one uvu file. uvu 0.5 exits 0 when a suite's `before` throws, when `test.run()` is
 * forgotten and when nothing is registered; its closing totals show each of these.
 */
export function judge({ source, output, exitCode }: FileOutcome): Verdict {
  const counted = uvuTotals(output)
  if (exitCode === null) return broken(counted, 'its time is up')
  if (counted === null) return broken(null, 'no totals: it registered no suite, or ended early')
  const { total, passed, skipped } = counted
  if (/^\s*\w+\.only\(/m.test(source)) return broken(counted, 'a test is marked `only`')
  if (total + skipped === 0) return broken(counted, 'no test is registered')
  const forgotten = forgottenSuite(source)
  if (forgotten !== null) return broken(counted, `\`${forgotten}.run()\` is missing`)
  if (exitCode !== 0 && passed === total) return broken(counted, `exit status ${exitCode}`)
  return { totals: { passed, failed: total - passed, skipped }, problem: null }
}

interface Counted {
  /** Tests that were to run; uvu does not count skipped ones here. */
  readonly total: number
  readonly passed: number
  readonly skipped: number
}

function broken(counted: Counted | null, problem: string): Verdict {
  const { total, passed, skipped } = counted ?? { total: 0, passed: 0, skipped: 0 }
  return { totals: { passed, failed: Math.max(1, total - passed), skipped }, problem }
}

function uvuTotals(output: string): Counted | null {
  const plain = stripVTControlCharacters(output)
  const found = [
    ...plain.matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm),
  ].at(-1)
  if (found === undefined) return null
  return { total: Number(found[1]), passed: Number(found[2]), skipped: Number(found[3]) }
}

/** A suite that the file makes and never runs: uvu says nothing about it. */
function forgottenSuite(source: string): string | null {
  const made = [...source.matchAll(/^const (\w+) = suite(?:<.*?>)?\(/gm)].map(
    ([, name]) => name ?? '',
  )
  const used = /^\s*test\(/m.test(source) ? ['test', ...made] : made
  return used.find((name) => !new RegExp(`^${name}\\.run\\(\\)`, 'm').test(source)) ?? null
}
