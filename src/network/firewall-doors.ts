import type { Kernel } from '../kernel/kernel.ts'
import { nftApply } from '../kernel/nft.ts'
import { elementScript } from './firewall.ts'
import {
  elementKey,
  type FirewallElement,
  type FirewallNetwork,
  inherited,
  networkElements,
  networkOf,
  ownerOf,
  placeOf,
} from './firewall-elements.ts'
import { observeFirewall } from './firewall-observe.ts'

/**
 * Make the table know the doors of one network that plugins make, which come with its containers. Where the
 * table is not whole nothing is done: whoever makes it so makes these, too. Throws `network`.
 */
export async function syncDoors(
  kernel: Kernel,
  at: {
    readonly table: string
    readonly project: string
    readonly network: FirewallNetwork
    /** As in `FirewallRequest`. */
    readonly heirs: readonly FirewallElement[]
  },
): Promise<void> {
  const { table, project, network, heirs } = at
  const { elements, dnsPort } = await observeFirewall(kernel, table, { lifts: false })
  if (dnsPort === null) return
  const wanted = networkElements(project, network)
  const places = new Set(elements.map(placeOf))
  const keys = new Set(wanted.map(elementKey))
  const gone = elements.filter(
    (element) =>
      ownerOf(element) === project &&
      networkOf(element) === network.name &&
      !keys.has(elementKey(element)),
  )
  const missing = wanted.filter((element) => !places.has(placeOf(element)))
  const added = [...missing, ...inherited(gone, heirs)]
  const lines = [...elementScript('delete', table, gone), ...elementScript('add', table, added)]
  if (lines.length > 0) await nftApply(kernel, `${lines.join('\n')}\n`)
}
