import { attempt, type Context, Refusal } from './context.ts'
import { type Field, itemsOf, textOf } from './tree.ts'
import { splitWords } from './words.ts'

/** A text is split into words as a shell splits them, but nothing else of a shell happens. */
export function normalizeCommand(context: Context, field: Field | null): readonly string[] | null {
  if (field === null) return null
  const make = () => {
    const text = textOf(field)
    const words =
      text === null ? itemsOf(field).map((item) => textOf(item) ?? '') : splitWords(text)
    if (words.some((word) => word.includes('\0')))
      throw new Refusal('a word cannot hold a NUL character')
    return words
  }
  return attempt<readonly string[] | null>(context, field, { make, fallback: null })
}
