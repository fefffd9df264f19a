import type { PolicyRow } from '../commands/network-policy.ts'
import type { Invocation } from '../grammar.ts'
import { bytesText } from './quantity.ts'
import { printList } from './table.ts'

export async function printPolicy(
  rows: readonly PolicyRow[],
  invocation: Invocation,
): Promise<undefined> {
  await printList(rows, invocation, {
    name: ({ service, direction, rule }) => `${service} ${direction} ${rule}`,
    columns: [
      { title: 'SERVICE', text: ({ service }) => service },
      { title: 'SIDE', text: ({ direction }) => direction },
      { title: 'RULE', text: ({ rule }) => rule },
      { title: 'WHO', text: ({ who }) => who },
      {
        title: 'VERDICT',
        text: ({ verdict, inForce }) => (inForce ? verdict : `${verdict} (gone)`),
      },
      { title: 'PACKETS', text: ({ packets }) => String(packets) },
      { title: 'BYTES', text: ({ bytes }) => bytesText(bytes) },
    ],
  })
}
