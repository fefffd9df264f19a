import type { Attachment, Network, Service } from './desired.ts'
import { isBridged, isLan } from './network-kind.ts'
import { rulesOf } from './policy.ts'
import { type Ground, OPEN_GROUND, receiverOf } from './receiver.ts'
import { calledBy } from './shared.ts'

/** What a service wants that cannot be had on a LAN, and the key that says so. */
export interface LanObstacle {
  readonly key: 'ports' | 'extra_hosts' | 'mac_address' | 'policies' | 'endpoint_mode' | 'bandwidth'
  readonly network: string
  readonly reason: string
  readonly hint: string | null
}

type NetworkOf = (name: string) => Network | undefined

/**
 * What this host cannot do for a service whose containers stand on a LAN: it sees nothing of what they
 * send there. A network that is not known is taken for a bridge.
 */
export function lanObstacles(service: Service, networkOf: NetworkOf): readonly LanObstacle[] {
  const on = service.container.networks.flatMap((attachment) => {
    const network = networkOf(attachment.network)
    return network !== undefined && isLan(network) ? [{ attachment, network }] : []
  })
  const [first] = on
  return [
    ...peersOnLans(service, networkOf),
    ...(first === undefined ? [] : unseen(service, first.network)),
    ...(first === undefined
      ? []
      : waysIn(service, { lans: on.map(({ network }) => network), networkOf })),
    ...on.flatMap(({ attachment, network }) => sharedMac(attachment, network)),
  ]
}

function peersOnLans({ name, policies }: Service, networkOf: NetworkOf): readonly LanObstacle[] {
  if (policies === undefined) return []
  const rules = (['ingress', 'egress'] as const).flatMap((direction) =>
    rulesOf({ service: name, policies }, direction),
  )
  return rules
    .flatMap(({ rule }) => rule.peers)
    .flatMap((peer) => {
      const network = peer.kind === 'network' ? networkOf(peer.network) : undefined
      if (network === undefined || !isLan(network)) return []
      const reason = `${textOf(network)}: who is on it is not known here`
      return { key: 'policies', network: network.name, reason, hint: 'name it by `cidr`' } as const
    })
}

function unseen({ policies, endpointMode, container }: Service, network: Network): LanObstacle[] {
  const at = (key: LanObstacle['key'], reason: string, hint: string): LanObstacle => ({
    ...{ key, network: network.name, hint },
    reason: `${textOf(network)}: ${reason}`,
  })
  const found: LanObstacle[] = []
  if (policies !== undefined)
    found.push(
      at('policies', "what passes there is out of this host's sight", 'take one of the two away'),
    )
  if (endpointMode === 'vip')
    found.push(
      at(
        'endpoint_mode',
        "no address of this host's is in front of containers there",
        'leave it out: there the name answers with each replica',
      ),
    )
  if (container.bandwidth?.ingressBits != null)
    found.push(
      at(
        'bandwidth',
        "what comes to a container there is out of this host's hands",
        'only `egress` can be bounded',
      ),
    )
  return found
}

/** Published ports are had by a bridge of pak's only: by plugins where no LAN takes the answers. */
function waysIn(
  { container }: Service,
  { lans, networkOf }: { readonly lans: readonly Network[]; readonly networkOf: NetworkOf },
): readonly LanObstacle[] {
  const groundOf = (name: string): Ground => networkOf(name) ?? OPEN_GROUND
  const at = (key: LanObstacle['key'], network: Network, reason: string): LanObstacle => ({
    ...{ key, network: network.name, reason: `${textOf(network)}${reason}` },
    hint: 'put it on a bridge network, too',
  })
  const to = receiverOf(container, groundOf)
  const [first] = lans
  if (to === null && first !== undefined)
    return [
      ...(container.ports.length === 0
        ? []
        : [at('ports', first, ': its containers have no port here')]),
      ...(Object.values(container.extraHosts).includes('host-gateway')
        ? [at('extra_hosts', first, ', where this host is not')]
        : []),
    ]
  const outward = lans.find(({ internal }) => !internal)
  if (to === null || outward === undefined || container.ports.length === 0) return []
  if (isBridged(groundOf(to))) return []
  const reason = `, by which answers leave: the plugins of network \`${calledBy(to)}\` cannot publish ports`
  return [at('ports', outward, reason)]
}

function sharedMac({ mac }: Attachment, network: Network): readonly LanObstacle[] {
  const { driver, lan, name } = network
  if (mac === undefined || (driver !== 'ipvlan' && lan?.mode !== 'passthru')) return []
  const reason = `containers on network \`${calledBy(name)}\` have the MAC of ${lan?.parent ?? 'its parent'}`
  return [{ key: 'mac_address', network: name, reason, hint: null }]
}

const textOf = ({ name, driver }: Network): string =>
  `network \`${calledBy(name)}\` is ${driver === 'ipvlan' ? 'an' : 'a'} ${driver}`

/** Why two networks cannot have one parent; `null`: they can. */
export function rivalry(one: Network, other: Network): string | null {
  const place = `network \`${other.name}\` has ${other.lan?.parent}`
  if (one.driver !== other.driver) return `${place} for \`${other.driver}\``
  if ([one, other].some(({ lan }) => lan?.mode === 'passthru'))
    return `${place}, and \`passthru\` takes all of it`
  if (one.driver === 'macvlan') return null
  const [mode, theirs] = [one, other].map(({ lan }) => `${lan?.mode} ${lan?.flag}`)
  return mode === theirs ? null : `${place} in mode \`${theirs}\`: all of its ipvlans have one mode`
}
