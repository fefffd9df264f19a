import { compareText } from './unit.ts'

/** The same plain data with the keys of every object sorted: the same plan is the same bytes. */
export function canonical<T>(value: T): T {
  const copy: T = JSON.parse(JSON.stringify(value, withSortedKeys))
  return copy
}

function withSortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => compareText(a, b)))
}
