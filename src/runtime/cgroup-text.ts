/** Above this v1 reports "no limit": LONG_MAX rounded down to a page. */
const V1_UNLIMITED = 2 ** 62

/** Value of a `key value` line; 0 when there is none. */
export function field(text: string, key: string): number {
  const at = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1
  if (at === 0 && !text.startsWith(`${key} `)) return 0
  const value = Number.parseInt(text.slice(at + key.length + 1, at + key.length + 22), 10)
  return Number.isNaN(value) ? 0 : value
}

/** A limit; `null` where there is none. */
export function bounded(text: string): number | null {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === 'max' || trimmed === '-1') return null
  const value = Number(trimmed)
  return Number.isNaN(value) || value >= V1_UNLIMITED ? null : value
}

/** What the pattern's first group matched, all of it added up. */
export const sum = (text: string, pattern: RegExp): number =>
  [...text.matchAll(pattern)].reduce((total, [, amount]) => total + Number(amount), 0)

/** `some avg10=1.50 ...` in percent (psi.rst); `null` when the file is not there or cannot be read. */
export function pressure(text: string): number | null {
  const found = /^some avg10=(\d+(?:\.\d+)?)/m.exec(text)
  return found === null ? null : Number(found[1])
}
