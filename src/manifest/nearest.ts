import { closest, distance } from 'fastest-levenshtein'
import { shown } from './problem.ts'

/** "did you mean `limits`?", when one of the known words is near enough to what was written. */
export function nearest(written: string, known: readonly string[]): string | null {
  if (known.length === 0 || written.length > 100) return null
  const wanted = written.toLowerCase()
  const lower = known.map((word) => word.toLowerCase())
  const best = known[lower.indexOf(closest(wanted, lower))] ?? ''
  const allowed = Math.ceil(Math.max(wanted.length, best.length) / 3)
  return distance(wanted, best.toLowerCase()) <= allowed ? `did you mean \`${shown(best)}\`?` : null
}
