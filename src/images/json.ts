import { PakError } from '../errors.ts'

/** Of any JSON value of an image: what it is, or nothing. Unknown keys are never looked at. */
export const recordOf = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : null

/** The own property; a hostile `__proto__` is data like any other. */
export const fieldOf = (value: unknown, key: string): unknown => {
  const record = recordOf(value)
  return record !== null && Object.hasOwn(record, key) ? record[key] : undefined
}

export const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** Throws `image_invalid` for what is no JSON, and for nesting that overflows the parser. */
export function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw invalidImage(what, 'is not JSON', cause)
  }
}

/** `reason` completes the sentence about the object. */
export const invalidImage = (what: string, reason: string, cause?: unknown): PakError =>
  new PakError('image_invalid', `image, \`${what}\`: ${reason}`, { cause })
