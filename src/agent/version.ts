import { readFileSync } from 'node:fs'

declare const PAK_VERSION: string | undefined

/** The package's version: put in by the bundler, read from package.json when run from source. */
export function version(): string {
  if (typeof PAK_VERSION === 'string') return PAK_VERSION
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? '0.0.0'
}

/** Whether `one` was released after `other`. A pre-release counts as its release. */
export function isNewer(one: string, other: string): boolean {
  const [left, right] = [numbers(one), numbers(other)]
  const at = left.findIndex((number, index) => number !== (right[index] ?? 0))
  return at >= 0 && (left[at] ?? 0) > (right[at] ?? 0)
}

const numbers = (text: string): readonly number[] =>
  text.split(/[.-]/, 3).map((part) => Number.parseInt(part, 10) || 0)
