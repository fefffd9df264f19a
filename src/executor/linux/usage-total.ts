import type { Usage, UsageRow } from '../../model/usage.ts'

/** Of a container that does not run. */
export const NOTHING: Usage = {
  cpuPercent: null,
  cpuUsageUsec: null,
  periods: null,
  throttledPeriods: null,
  throttledUsec: null,
  memoryBytes: null,
  memoryChargedBytes: null,
  memoryPeakBytes: null,
  memoryLimitBytes: null,
  memoryAnonBytes: null,
  memoryFileBytes: null,
  memoryKernelBytes: null,
  swapBytes: null,
  oomKills: null,
  pids: null,
  pidsLimit: null,
  blockReadBytes: null,
  blockWriteBytes: null,
  netRxBytes: null,
  netTxBytes: null,
  cpuPressurePercent: null,
  memoryPressurePercent: null,
  ioPressurePercent: null,
}

/** Sums, but where a sum says nothing: a limit is one only when all have it, pressure is the worst. */
export function serviceRow(rows: readonly UsageRow[]): UsageRow {
  const running = rows.filter(({ pids }) => pids !== null)
  const of = (key: keyof Usage, how: (numbers: readonly number[]) => number): number | null => {
    const numbers = running.flatMap((row) => row[key] ?? [])
    return numbers.length === 0 ? null : rounded(how(numbers))
  }
  const all = (key: keyof Usage): number | null =>
    running.every((row) => row[key] !== null) ? of(key, add) : null
  const total = Object.fromEntries(
    Object.keys(NOTHING).map((key) => [key, of(key as keyof Usage, add)]),
  ) as unknown as Usage
  return {
    ...total,
    memoryLimitBytes: all('memoryLimitBytes'),
    pidsLimit: all('pidsLimit'),
    cpuPressurePercent: of('cpuPressurePercent', worst),
    memoryPressurePercent: of('memoryPressurePercent', worst),
    ioPressurePercent: of('ioPressurePercent', worst),
    scope: 'service',
    project: rows[0]?.project ?? '',
    service: rows[0]?.service ?? null,
    container: null,
    id: null,
    state: null,
    execs: [],
  }
}

const add = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0)
const worst = (numbers: readonly number[]): number => Math.max(...numbers)

/** Of one CPU. */
export const percent = (usec: number, elapsedMs: number): number =>
  elapsedMs > 0 ? usec / elapsedMs / 10 : 0

/** Two digits are all that a measurement of a second has. */
export const rounded = (value: number): number => Math.round(value * 100) / 100
