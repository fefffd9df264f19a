import { withoutControl } from '../../model/text.ts'
import type { Invocation } from '../grammar.ts'

export interface Column<T> {
  readonly title: string
  readonly text: (row: T) => string
}

/** A table with aligned columns and no trailing blanks. Cells are one line of plain text. */
export function tableText<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => withoutControl(text(row)))),
  ]
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0)))
  return cells
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** A list as a table, as JSON with `--format json`, or with `-q` as one name a line. */
export async function printList<T>(
  rows: readonly T[],
  { flags, terminal }: Invocation,
  list: { readonly columns: readonly Column<T>[]; readonly name: (row: T) => string },
): Promise<void> {
  if (flags.on('quiet')) await terminal.print(rows.map((row) => `${list.name(row)}\n`).join(''))
  else if (flags.text('format') === 'json')
    await terminal.print(`${JSON.stringify(rows, null, 2)}\n`)
  else await terminal.print(tableText(rows, list.columns))
}
