import type { ExecUsage, ProcessRow, UsageRow } from '../../model/usage.ts'
import { isLive } from '../commands/stats.ts'
import type { Invocation } from '../grammar.ts'
import type { Terminal } from '../terminal.ts'
import { bytesText } from './quantity.ts'
import { type Column, printList, tableText } from './table.ts'

const ESC = '\x1b'
const CLEAR_SCREEN = `${ESC}[2J`
const TO_TOP = `${ESC}[H`
const CLEAR_LINE = `${ESC}[K`
const CLEAR_BELOW = `${ESC}[J`

/** `stats`: each table in the place of the one before. */
export async function printStats(
  tables: AsyncIterable<readonly UsageRow[]>,
  invocation: Invocation,
): Promise<undefined> {
  const { flags, terminal } = invocation
  if (!isLive(invocation)) {
    for await (const rows of tables) {
      if (flags.on('quiet') || flags.text('format') === 'json')
        await printList(rows, invocation, { columns: [], name: label })
      else await terminal.print(usageText(rows))
    }
    return
  }
  let begun = false
  for await (const rows of tables) {
    await terminal.print(`${begun ? '' : CLEAR_SCREEN}${screenText(rows, terminal.stdout)}`)
    begun = true
  }
}

/** As much of the table as there is room for, drawn over what stood there. */
export function screenText(
  rows: readonly UsageRow[],
  { rows: height, columns: width }: Pick<Terminal['stdout'], 'rows' | 'columns'>,
): string {
  const lines = usageText(rows).trimEnd().split('\n')
  // A terminal that does not know its size says 0.
  const shown = height > 1 ? lines.slice(0, height - 1) : lines
  const cut = (line: string) => (width > 0 ? line.slice(0, width) : line)
  const text = shown.map((line) => `${cut(line)}${CLEAR_LINE}\n`).join('')
  return `${TO_TOP}${text}${CLEAR_BELOW}`
}

/** `top`. */
export async function printTop(
  rows: readonly ProcessRow[],
  invocation: Invocation,
): Promise<undefined> {
  await printList(rows, invocation, { columns: PROCESSES, name: ({ pid }) => String(pid) })
}

function label({ scope, project, service, container }: UsageRow): string {
  if (scope === 'container') return container ?? ''
  return scope === 'service' ? `${project}-${service} in all` : `${project} in all`
}

/** What was put into a container from outside stands below it, in the columns that it has. */
function usageText(rows: readonly UsageRow[]): string {
  return tableText(
    rows.flatMap((row): readonly UsageLine[] => [
      { ...row, label: label(row) },
      ...row.execs.map((exec) => ({ ...NO_NUMBERS, ...exec, label: execLabel(exec) })),
    ]),
    USAGE,
  )
}

const COMMAND_LENGTH = 30

function execLabel({ pid, command }: ExecUsage): string {
  const shown = [...command].slice(0, COMMAND_LENGTH).join('')
  return `  exec ${pid}: ${shown}${shown === command ? '' : '...'}`
}

const USAGE: readonly Column<UsageLine>[] = [
  { title: 'CONTAINER', text: (row) => row.label },
  { title: 'CPU', text: (row) => percentText(row.cpuPercent) },
  { title: 'THROTTLED', text: (row) => secondsText(row.throttledUsec) },
  { title: 'MEMORY', text: (row) => bytesText(row.memoryBytes) },
  { title: 'LIMIT', text: (row) => bytesText(row.memoryLimitBytes) },
  { title: 'PEAK', text: (row) => bytesText(row.memoryPeakBytes) },
  { title: 'OOM', text: (row) => numberText(row.oomKills) },
  { title: 'PIDS', text: (row) => numberText(row.pids) },
  { title: 'NET IN/OUT', text: (row) => pairText(row.netRxBytes, row.netTxBytes) },
  { title: 'DISK READ/WRITTEN', text: (row) => pairText(row.blockReadBytes, row.blockWriteBytes) },
]

const PROCESSES: readonly Column<ProcessRow>[] = [
  { title: 'CONTAINER', text: ({ container }) => container },
  { title: 'PID', text: ({ pid }) => String(pid) },
  { title: 'INSIDE', text: ({ containerPid }) => String(containerPid) },
  { title: 'USER', text: ({ user }) => user },
  { title: 'CPU', text: ({ cpuPercent }) => percentText(cpuPercent) },
  { title: 'TIME', text: ({ cpuUsageUsec }) => secondsText(cpuUsageUsec) },
  { title: 'MEMORY', text: ({ memoryBytes }) => bytesText(memoryBytes) },
  { title: 'EXEC', text: ({ session }) => (session === null ? '-' : String(session)) },
  { title: 'COMMAND', text: ({ command }) => command },
]

type UsageLine = { readonly label: string } & Pick<
  UsageRow,
  | 'cpuPercent'
  | 'throttledUsec'
  | 'memoryBytes'
  | 'memoryLimitBytes'
  | 'memoryPeakBytes'
  | 'oomKills'
  | 'pids'
  | 'netRxBytes'
  | 'netTxBytes'
  | 'blockReadBytes'
  | 'blockWriteBytes'
>

const NO_NUMBERS = {
  throttledUsec: null,
  memoryLimitBytes: null,
  memoryPeakBytes: null,
  oomKills: null,
  netRxBytes: null,
  netTxBytes: null,
  blockReadBytes: null,
  blockWriteBytes: null,
} satisfies Partial<UsageLine>

const percentText = (value: number | null): string =>
  value === null ? '-' : `${value.toFixed(1)}%`

const secondsText = (usec: number | null): string =>
  usec === null ? '-' : `${(usec / 1_000_000).toFixed(1)}s`

const numberText = (value: number | null): string => (value === null ? '-' : String(value))

const pairText = (left: number | null, right: number | null): string =>
  left === null && right === null ? '-' : `${bytesText(left)} / ${bytesText(right)}`
