import type { HistoryRow } from '../commands/past.ts'
import type { Invocation } from '../grammar.ts'
import { type Column, printList } from './table.ts'

const COLUMNS: readonly Column<HistoryRow>[] = [
  { title: 'WHEN', text: ({ time }) => time },
  { title: 'CAUSE', text: causeText },
  { title: 'WHAT', text: whatText },
  { title: 'RESULT', text: resultText },
  {
    title: 'DURATION',
    text: ({ durationMs }) => (durationMs === null ? '-' : `${(durationMs / 1000).toFixed(2)} s`),
  },
]

export async function printHistory(
  rows: readonly HistoryRow[],
  invocation: Invocation,
): Promise<undefined> {
  await printList(rows, invocation, { columns: COLUMNS, name: ({ time }) => time })
}

function causeText({ by, cause }: HistoryRow): string {
  return by === 'user' ? `user: ${cause}` : by
}

const SHOWN = 3
/** What a reader looks for; the rest is in JSON. */
const TOLD =
  /^container\.(create|start|stop|remove|update|repair|kill|pause|unpause):service\/(.*)$/

/** `create web/1, start web/1`; of other things, `network.create front`. */
function whatText({ changes, steps }: HistoryRow): string {
  const told = changes.flatMap((change) => {
    const [, verb, on] = TOLD.exec(change) ?? []
    return verb === undefined ? [] : [`${verb} ${on}`]
  })
  const others = changes.map((change) => change.replace(/:[a-z]+\//, ' '))
  const shown = (told.length > 0 ? told : others).slice(0, SHOWN)
  const more = steps - shown.length
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ')
}

function resultText({ result, failed, skipped }: HistoryRow): string {
  if (result !== 'failed') return result
  const [first] = failed
  if (first === undefined) return skipped > 0 ? `failed: ${skipped} skipped` : 'failed'
  const line = first.message.split('\n', 1)[0] ?? ''
  return `failed: ${line.length > 80 ? `${line.slice(0, 79)}…` : line}`
}
