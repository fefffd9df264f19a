/** A manifest file as text, with what is needed to point into it. */
export interface SourceFile {
  /** As the user wrote it, or relative to the working folder. */
  readonly name: string
  readonly text: string
  /** Offset of the first character of each line. */
  readonly lineStarts: readonly number[]
}

/** A half-open range of characters in one file. */
export interface Span {
  readonly source: SourceFile
  readonly start: number
  readonly end: number
}

export interface Position {
  /** Both count from 1. */
  readonly line: number
  readonly column: number
}

export function sourceFile(name: string, text: string): SourceFile {
  const lineStarts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1))
    lineStarts.push(at + 1)
  return { name, text, lineStarts }
}

export function positionOf(source: SourceFile, offset: number): Position {
  let low = 0
  let high = source.lineStarts.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((source.lineStarts[middle] ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  return { line: low + 1, column: offset - (source.lineStarts[low] ?? 0) + 1 }
}

/** One line without its line break; empty when there is no such line. */
export function lineText(source: SourceFile, line: number): string {
  const start = source.lineStarts[line - 1]
  if (start === undefined) return ''
  const next = source.lineStarts[line] ?? source.text.length + 1
  return source.text.slice(start, next - 1).replace(/\r$/, '')
}
