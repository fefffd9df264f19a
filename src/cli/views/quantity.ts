/** `3 seconds`, `2 minutes`, `5 hours`, as Docker says it. Below a second: `Less than a second`. */
export function durationText(milliseconds: number): string {
  const seconds = Math.floor(Math.max(0, milliseconds) / 1000)
  if (seconds < 1) return 'Less than a second'
  if (seconds < 60) return plural(seconds, 'second')
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return plural(minutes, 'minute')
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return plural(hours, 'hour')
  const days = Math.floor(hours / 24)
  if (days < 14) return plural(days, 'day')
  return days < 90 ? plural(Math.floor(days / 7), 'week') : plural(Math.floor(days / 30), 'month')
}

const plural = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? '' : 's'}`

/** `64 MiB`, `1.5 GiB`; a dash where nothing is known. */
export function bytesText(bytes: number | null): string {
  if (bytes === null) return '-'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${units[unit]}`
}
