import { PakError } from '../errors.ts'

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * A point in time as `--since` and `--until` take it: RFC 3339, seconds since 1970, or how long ago
 * (`90s`, `1h30m`). Milliseconds since 1970.
 */
export function timeOf(text: string, option: string, now: number): number {
  if (/^(\d+(\.\d+)?[smhd])+$/.test(text)) {
    let ago = 0
    for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)([smhd])/g))
      ago += Number(amount) * (UNITS[unit ?? ''] ?? 0)
    return now - Math.round(ago)
  }
  if (/^\d{1,12}(\.\d{1,9})?$/.test(text)) return Math.round(Number(text) * 1000)
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new PakError('usage', `option \`--${option}\`: expected a time, got \`${text}\``, {
    hint: 'such as 10m, 2026-01-31T12:00:00Z or seconds since 1970',
  })
}
