import { PakError } from '../errors.ts'

/** A command's own options, read by name and parsed where they are read. */
export interface Flags {
  /** The flag was given. */
  on(name: string): boolean
  /** `--no-<name>` was given. */
  off(name: string): boolean
  text(name: string): string | null
  list(name: string): readonly string[]
  /** A whole number, 0 or more. */
  count(name: string): number | null
  /** Seconds on the command line, milliseconds here. */
  seconds(name: string): number | null
}

/** `values` is what commander collected, keys in camelCase. */
export function flagsOf(values: Readonly<Record<string, unknown>>): Flags {
  const text = (name: string): string | null => {
    const value = values[name]
    return typeof value === 'string' ? value : null
  }
  const number = (name: string, pattern: RegExp, expected: string): number | null => {
    const value = text(name)
    if (value === null) return null
    if (!pattern.test(value)) throw wrongValue(name, expected, value)
    return Number(value)
  }
  return {
    on: (name) => values[name] === true,
    off: (name) => values[name] === false,
    text,
    list: (name) => {
      const value = values[name]
      if (!Array.isArray(value)) return typeof value === 'string' ? [value] : []
      return value.filter((item) => typeof item === 'string')
    },
    count: (name) => number(name, /^\d{1,9}$/, 'a whole number'),
    seconds: (name) => {
      const value = number(name, /^\d{1,9}(\.\d+)?$/, 'seconds')
      return value === null ? null : Math.round(value * 1000)
    },
  }
}

function wrongValue(name: string, expected: string, value: string): PakError {
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return new PakError('usage', `option \`--${option}\`: expected ${expected}, got \`${value}\``)
}
