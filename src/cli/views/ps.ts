import type { ContainerRow } from '../../agent/wire.ts'
import type { Invocation } from '../grammar.ts'
import { durationText } from './quantity.ts'
import { type Column, printList } from './table.ts'

/** `ps`: what people look at most, so the state is said in words. */
export async function printContainers(
  rows: readonly ContainerRow[],
  invocation: Invocation,
): Promise<undefined> {
  await printList(rows, invocation, { columns: columns(Date.now()), name: (row) => row.container })
}

export const columns = (now: number): readonly Column<ContainerRow>[] => [
  { title: 'CONTAINER', text: (row) => row.container },
  { title: 'SERVICE', text: (row) => row.service },
  { title: 'IMAGE', text: (row) => row.image ?? '-' },
  { title: 'STATUS', text: (row) => statusText(row, now) },
  { title: 'PORTS', text: (row) => portsText(row) },
]

/** `Up 3 seconds (healthy)`, `Exited (137) 2 seconds ago, out of memory`. */
export function statusText(row: ContainerRow, now: number): string {
  const health =
    row.health === null ? '' : ` (${row.health === 'starting' ? 'health: starting' : row.health})`
  const up = `Up ${ago(row.startedAt, now)}${health}`
  switch (row.state) {
    case 'running':
      return up
    case 'paused':
      return `${up} (paused)`
    case 'created':
      return 'Created'
    case 'restarting':
      return `Restarting${exitText(row, now)}`
    case 'stopped':
      return `Exited${exitText(row, now)}`
  }
}

function exitText(row: ContainerRow, now: number): string {
  // -1: it ended where nobody could see.
  const code = row.exitCode === null || row.exitCode < 0 ? '?' : row.exitCode
  return ` (${code}) ${ago(row.finishedAt, now)} ago${row.oomKilled ? ', out of memory' : ''}`
}

function ago(time: string | null, now: number): string {
  const at = time === null ? Number.NaN : Date.parse(time)
  return durationText(Number.isNaN(at) ? 0 : now - at)
}

function portsText({ ports, state }: ContainerRow): string {
  if (state === 'created' || state === 'stopped') return ''
  return ports
    .map((port) => `${port.hostIp}:${port.published}->${port.target}/${port.protocol}`)
    .join(', ')
}
