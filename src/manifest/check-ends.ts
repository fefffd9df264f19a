import type { Attachment, Network } from '../model/desired.ts'
import { formatIpv6, parseBlock6 } from '../model/ipv6.ts'
import { byNearness } from '../model/shared.ts'
import { type Check, namedPart, partOf, reportAt, sharers } from './check.ts'
import { addressIn6 } from './network-options.ts'
import type { ServiceDraft } from './normalize.ts'

/** What services say of their interfaces: fixed IPv6 and MAC addresses, and names that differ. */
export function checkEnds(check: Check): void {
  const networks = new Map(check.draft.networks.map(({ value }) => [value.name, value]))
  const externals = new Map(check.draft.externals.map(({ value }) => [value.name, value.target]))
  const taken = new Map<string, string>()
  for (const draft of check.enabled) {
    checkNames(check, draft, externals)
    const several = sharers(draft.service)
    for (const attachment of draft.service.container.networks) {
      const network = networks.get(attachment.network) ?? null
      checkAux(check, draft, { attachment, network })
      for (const [key, address] of fixedOf(attachment)) {
        const place = `${attachment.network} ${address}`
        const reason =
          (key === 'ipv6_address' &&
          !externals.has(attachment.network) &&
          network?.cni === undefined
            ? refusal6(network, address)
            : null) ??
          (several === null ? null : `${several} cannot share one address`) ??
          (taken.has(place) ? `service \`${taken.get(place)}\` has this address already` : null)
        if (reason !== null)
          reportAt(check.problems, fieldOf(draft, attachment.network, key), reason)
        taken.set(place, draft.service.name)
      }
    }
  }
}

const fieldOf = ({ field }: ServiceDraft, network: string, key: string) =>
  partOf(namedPart(field, 'networks', network), key)

function fixedOf({ ipv6, mac }: Attachment): readonly (readonly [string, string])[] {
  return [
    ...(ipv6 === undefined ? [] : [['ipv6_address', ipv6] as const]),
    ...(mac === undefined ? [] : [['mac_address', mac] as const]),
  ]
}

function refusal6(network: Network | null, address: string): string | null {
  const declared = network?.ipv6
  if (declared?.subnet == null) return 'a fixed IPv6 address needs a network with a subnet of IPv6'
  const { subnet } = declared
  if (!addressIn6(address, subnet)) return `${address} is no host's address in ${subnet}`
  const gateway = declared.gateway ?? formatIpv6((parseBlock6(subnet)?.first ?? 0n) + 1n)
  return address === gateway ? `${address} is the gateway of the network` : null
}

function checkAux(
  { problems }: Check,
  draft: ServiceDraft,
  { attachment, network }: { readonly attachment: Attachment; readonly network: Network | null },
): void {
  const aside = new Map(
    Object.entries(network?.auxAddresses ?? {}).map(([name, address]) => [address, name]),
  )
  for (const [key, address] of [
    ['ipv4_address', attachment.ipv4],
    ['ipv6_address', attachment.ipv6],
  ] as const) {
    const name = aside.get(address ?? '')
    if (name !== undefined)
      reportAt(
        problems,
        fieldOf(draft, attachment.network, key),
        `${address} is set aside as \`${name}\` of \`aux_addresses\``,
      )
  }
}

/** Interfaces without a name are `eth0`, `eth1`, ... by their place among the networks. */
function checkNames(
  { problems }: Check,
  draft: ServiceDraft,
  externals: ReadonlyMap<string, string>,
): void {
  const seen = new Map<string, string>()
  const place = ({ network }: Attachment) => externals.get(network) ?? network
  const sorted = [...draft.service.container.networks].sort((a, b) =>
    byNearness(place(a), place(b)),
  )
  for (const [index, attachment] of sorted.entries()) {
    const name = attachment.interfaceName ?? `eth${index}`
    const other = seen.get(name)
    if (other !== undefined)
      reportAt(
        problems,
        fieldOf(draft, attachment.network, 'interface_name'),
        `the interface on network \`${other}\` is called \`${name}\``,
      )
    seen.set(name, attachment.network)
  }
}
