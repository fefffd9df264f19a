import { closest, distance } from 'fastest-levenshtein'
import { shown } from './problem.ts'

/** "did you mean `limits`?", when one of the known words is near enough to what was written. */
export function nearest(written: string, known: readonly string[]): string | null {
  if (known.length === 0 || written.length > 100) return null
  const best = closest(written.toLowerCase(), [...known])
  const allowed = Math.max(1, Math.ceil(Math.max(written.length, best.length) / 3))
  return distance(written.toLowerCase(), best.toLowerCase()) <= allowed
    ? `did you mean \`${shown(best)}\`?`
    : null
}
