import type { FieldChange } from '../model/plan.ts'
import { compareText } from './unit.ts'

/** How two values of one field are compared; what differs, with paths as a user writes them. */
export type Compare<T> = (from: T, to: T) => readonly FieldChange[]

/** One value, shown as `show` says. */
export function value<T>(path: string, show: (value: T) => unknown = (shown) => shown): Compare<T> {
  return (from, to) => (same(from, to) ? [] : [{ path, from: show(from), to: show(to) }])
}

/** A map: each key by itself, `environment.GREETING`. */
export function entries(path: string): Compare<Readonly<Record<string, string>>> {
  return (from, to) => {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort(compareText)
    return keys.flatMap((key) => value(`${path}.${key}`)(own(from, key), own(to, key)))
  }
}

/** A list whose items have a key: the order means nothing, `ports[8080]`. */
export function keyed<T>(
  path: (key: string) => string,
  key: (item: T) => string,
  show: (item: T) => unknown,
): Compare<readonly T[]> {
  return (from, to) => {
    const before = new Map(from.map((item) => [key(item), item]))
    const after = new Map(to.map((item) => [key(item), item]))
    const keys = [...new Set([...before.keys(), ...after.keys()])].sort(compareText)
    return keys.flatMap((name) => {
      const was = before.get(name) ?? null
      const is = after.get(name) ?? null
      if (same(was, is)) return []
      const shown = (item: T | null) => (item === null ? null : show(item))
      return [{ path: path(name), from: shown(was), to: shown(is) }]
    })
  }
}

/** A list that is a set: the order means nothing. */
export function unordered(path: string): Compare<readonly string[]> {
  const sorted = (list: readonly string[]) => [...new Set(list)].sort(compareText)
  return (from, to) => value<readonly string[]>(path)(sorted(from), sorted(to))
}

/** A record of known fields, each with its own path below `path`. `null` as a whole is one change. */
export function fields<T extends object>(
  path: string,
  parts: readonly Part<T>[],
): Compare<T | null> {
  return (from, to) => {
    if (same(from, to)) return []
    if (from === null || to === null) return [{ path, from: from ?? null, to: to ?? null }]
    return parts.flatMap((part) => value(`${path}.${part.name}`)(part.show(from), part.show(to)))
  }
}

export interface Part<T> {
  readonly name: string
  readonly show: (of: T) => unknown
}

/** Structural equality of plain data; the order of keys means nothing. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every((key) => Object.hasOwn(b, key) && same(own(a, key), own(b, key)))
}

/** An own property hides what a prototype has of that name, `__proto__` included. */
const own = (record: object, key: string): unknown =>
  Object.hasOwn(record, key) ? ((record as Readonly<Record<string, unknown>>)[key] ?? null) : null
