import { PakError } from '../errors.ts'
import { ipBatch, ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { formatBlock6 } from '../model/ipv6.ts'
import { address6, block6 } from './ipam6.ts'
import { formatAddress, formatCidr, parseAddress, parseCidr } from './ipv4.ts'
import { INTERFACE_NAME } from './words.ts'

/** A container's address on a bridge, and where what it sends with it shall go. Of either family. */
export interface SourceRoute {
  readonly device: string
  readonly address: string
  readonly subnet: string
  readonly gateway: string
  /** A routing table of its own. */
  readonly table: number
}

/**
 * A container on a LAN finds everybody there directly. Who came from there by this host, to a published
 * port, must be answered by this host: what leaves with a bridge's address leaves by that bridge.
 */
export async function routeBySource(
  kernel: Kernel,
  pid: number,
  ways: readonly SourceRoute[],
): Promise<void> {
  if (ways.length === 0) return
  const six = ways.some(({ address }) => address.includes(':'))
  const known = await Promise.all(
    ['-4', ...(six ? ['-6'] : [])].map((family) =>
      ipJson(kernel, [family, 'rule', 'show'], { netnsPid: pid }),
    ),
  )
  const there = new Set(known.flat().map((rule) => ruleText(rule as IpRule)))
  await ipBatch(kernel, sourceBatch(ways, there), { netnsPid: pid })
}

/** What is used of ip-rule(8)'s JSON. */
interface IpRule {
  readonly src?: string
  readonly table?: string
}

const ruleText = ({ src, table }: IpRule): string => `${src} ${table}`

/** Lines for `ip -batch`; rules that are there already would be there twice. */
export const sourceBatch = (
  ways: readonly SourceRoute[],
  there: ReadonlySet<string>,
): readonly string[] =>
  ways.flatMap(({ device, table, ...way }) => {
    const dev = INTERFACE_NAME.test(device) ? device : refuse(device)
    const id = Number.isSafeInteger(table) && table > 0 ? String(table) : refuse(String(table))
    const [address, subnet, gateway, all] = wordsOf(way)
    return [
      `route replace ${subnet} dev ${dev} src ${address} table ${id}`,
      `route replace ${all} via ${gateway} dev ${dev} table ${id}`,
      ...(there.has(`${address} ${id}`) ? [] : [`rule add from ${address} lookup ${id}`]),
    ]
  })

function wordsOf({ address, subnet, gateway }: Omit<SourceRoute, 'device' | 'table'>) {
  if (!address.includes(':'))
    return [
      formatAddress(parseAddress(address)),
      formatCidr(parseCidr(subnet)),
      formatAddress(parseAddress(gateway)),
      'default',
    ]
  return [address6(address), formatBlock6(block6(subnet)), address6(gateway), '::/0']
}

function refuse(word: string): never {
  throw new PakError('network', `route by source \`${word}\`: refused`)
}
