/** Quantities as a user writes them, so that a reason reads like the file. */

/** `64M`, `1536k`, or the number of bytes where no unit divides it. */
export function bytesText(bytes: number | null): string | number | null {
  if (bytes === null || bytes === 0) return bytes
  for (const [unit, size] of [
    ['G', 2 ** 30],
    ['M', 2 ** 20],
    ['k', 2 ** 10],
  ] as const) {
    if (bytes % size === 0) return `${bytes / size}${unit}`
  }
  return bytes
}

/** `1m30s`, `500ms`, `0s`. */
export function durationText(ms: number): string {
  const parts: string[] = []
  let left = ms
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    const count = Math.floor(left / size)
    if (count > 0) parts.push(`${count}${unit}`)
    left -= count * size
  }
  return parts.join('') || '0s'
}

/** Thousandths of one CPU as `25%`. */
export const cpuText = (millis: number | null): string | null =>
  millis === null ? null : `${millis / 10}%`
