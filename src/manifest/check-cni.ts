import { type CniCapability, type CniNetwork, declares } from '../model/cni.ts'
import type { Attachment } from '../model/desired.ts'
import { type PolicyPeer, rulesOf } from '../model/policy.ts'
import { type Ground, OPEN_GROUND, pluginsReceiver } from '../model/receiver.ts'
import { type Check, namedPart, partOf, reportAt } from './check.ts'
import type { ServiceDraft } from './normalize.ts'

/** What plugins make does only what they have said that they can be told. */
export function checkCni(check: Check): void {
  const networks = new Map(check.draft.networks.map(({ value }) => [value.name, value]))
  const cni = new Map(
    [...networks.values()].flatMap((network) =>
      network.cni === undefined ? [] : [[network.name, network.cni] as const],
    ),
  )
  if (cni.size === 0) return
  const groundOf = (name: string): Ground => networks.get(name) ?? OPEN_GROUND
  for (const draft of check.draft.services) {
    for (const attachment of draft.service.container.networks)
      checkAttachment(check, draft, { attachment, network: cni.get(attachment.network) })
    checkPorts(check, draft, { cni, groundOf })
    checkPolicies(check, draft, cni)
  }
}

const lacks = (network: CniNetwork, capability: CniCapability): string | null =>
  declares(network, capability)
    ? null
    : `none of its plugins (${network.plugins.map(({ type }) => type).join(', ')}) declares the capability \`${capability}\``

function checkAttachment(
  { problems }: Check,
  draft: ServiceDraft,
  {
    attachment,
    network,
  }: { readonly attachment: Attachment; readonly network?: CniNetwork | undefined },
): void {
  if (network === undefined) return
  const { service, field } = draft
  const at = (key: string) => partOf(namedPart(field, 'networks', attachment.network), key)
  const wanted = [
    ['ipv4_address', attachment.ipv4 ?? undefined, 'ips'],
    ['ipv6_address', attachment.ipv6, 'ips'],
    ['mac_address', attachment.mac, 'mac'],
  ] as const
  for (const [key, value, capability] of wanted) {
    const reason = value === undefined ? null : lacks(network, capability)
    if (reason !== null) reportAt(problems, at(key), reason)
  }
  if (attachment.gwPriority !== undefined)
    reportAt(problems, at('gw_priority'), 'routes of a `cni` network are those of its plugins')
  const bounded = service.container.bandwidth === undefined ? null : lacks(network, 'bandwidth')
  if (bounded !== null)
    reportAt(problems, partOf(field, 'bandwidth'), `network \`${attachment.network}\`: ${bounded}`)
  if (service.endpointMode === 'vip')
    reportAt(
      problems,
      partOf(field, 'endpoint_mode'),
      `on network \`${attachment.network}\` addresses are its plugins': a service has none of its own`,
      'with `dnsrr` its name means all replicas',
    )
}

interface Known {
  readonly cni: ReadonlyMap<string, CniNetwork>
  readonly groundOf: (network: string) => Ground
}

function checkPorts({ problems }: Check, draft: ServiceDraft, { cni, groundOf }: Known): void {
  const { container, replicas } = draft.service
  const to = pluginsReceiver(container, groundOf)
  const network = to === null ? undefined : cni.get(to)
  if (container.ports.length === 0 || network === undefined) return
  const say = (reason: string) =>
    reportAt(problems, partOf(draft.field, 'ports'), `network \`${to}\`: ${reason}`)
  const reason = lacks(network, 'portMappings')
  if (reason !== null) say(reason)
  else if (replicas > 1) say(`plugins forward a port to one container, not to ${replicas} replicas`)
  else if (container.ports.some(({ hostIp }) => hostIp === '::'))
    say('plugins cannot publish on all addresses of IPv6 alone')
}

/** Policies know addresses before there are containers; those of plugins come with them. */
function checkPolicies(
  { draft: { services }, problems }: Check,
  { service, field }: ServiceDraft,
  cni: Known['cni'],
): void {
  const { policies, name, container } = service
  if (policies === undefined) return
  const isOn = (networks: readonly Attachment[]) => networks.some(({ network }) => cni.has(network))
  const meets = (peer: PolicyPeer): boolean => {
    if (peer.kind === 'network') return cni.has(peer.network)
    if (peer.kind === 'cidr') return false
    const other = services.find((one) => one.service.name === peer.service)
    return other !== undefined && isOn(other.service.container.networks)
  }
  const peers = (['ingress', 'egress'] as const).flatMap((direction) =>
    rulesOf({ service: name, policies }, direction).flatMap(({ rule }) => rule.peers),
  )
  if (isOn(container.networks) || peers.some(meets))
    reportAt(
      problems,
      partOf(field, 'policies'),
      'policies do not reach a `cni` network, where plugins give addresses',
      'keep policies and `cni` networks apart, or name addresses by `cidr`',
    )
}
