import type { NetworkRow, VolumeRow } from '../../agent/wire.ts'
import type { ImageRecord } from '../../model/image.ts'
import type { Invocation } from '../grammar.ts'
import { bytesText, durationText } from './quantity.ts'
import { printList } from './table.ts'

export async function printVolumes(
  rows: readonly VolumeRow[],
  invocation: Invocation,
): Promise<undefined> {
  await printList(rows, invocation, {
    name: (row) => row.name,
    columns: [
      { title: 'VOLUME', text: (row) => row.name },
      { title: 'PROJECT', text: (row) => row.project ?? '-' },
      { title: 'DRIVER', text: (row) => row.driver },
      { title: 'USED', text: (row) => bytesText(row.usedBytes) },
      { title: 'SIZE', text: (row) => bytesText(row.sizeBytes) },
      { title: 'MOUNTPOINT', text: (row) => row.mountpoint },
    ],
  })
}

export async function printNetworks(
  rows: readonly NetworkRow[],
  invocation: Invocation,
): Promise<undefined> {
  await printList(rows, invocation, {
    name: (row) => row.name,
    columns: [
      { title: 'NETWORK', text: (row) => row.name },
      { title: 'PROJECT', text: (row) => row.project ?? '-' },
      { title: 'DRIVER', text: (row) => row.driver },
      { title: 'SUBNET', text: (row) => both(row.subnet, row.subnet6) },
      { title: 'GATEWAY', text: (row) => both(row.gateway, row.gateway6) },
      { title: 'BRIDGE', text: (row) => row.bridge },
      { title: 'INTERNAL', text: (row) => (row.internal ? 'yes' : 'no') },
    ],
  })
}

const both = (four: string, six: string | null): string => (six === null ? four : `${four}, ${six}`)

export async function printImages(
  rows: readonly ImageRecord[],
  invocation: Invocation,
): Promise<undefined> {
  const now = Date.now()
  await printList(rows, invocation, {
    name: (row) => row.reference,
    columns: [
      { title: 'IMAGE', text: (row) => row.reference },
      { title: 'DIGEST', text: (row) => row.digest.slice(0, 'sha256:'.length + 12) },
      { title: 'SIZE', text: (row) => bytesText(row.sizeBytes) },
      {
        title: 'CREATED',
        text: (row) =>
          row.createdAt === null ? '-' : `${durationText(now - Date.parse(row.createdAt))} ago`,
      },
    ],
  })
}

/** What was removed, one name a line. */
export async function printNames(
  names: readonly string[],
  { terminal }: Invocation,
): Promise<undefined> {
  await terminal.print(names.map((name) => `${name}\n`).join(''))
}
