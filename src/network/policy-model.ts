import { meet6, parseBlock6 } from '../model/ipv6.ts'
import {
  type NamedRule,
  type PolicyDirection,
  type PolicyPeer,
  type PolicyProtocol,
  rulesOf,
  type ServicePolicies,
} from '../model/policy.ts'
import { contains } from './ipv4.ts'

/** One side of a connection. `service` is `null` for what is no container of the project. */
export interface PolicyEndpoint {
  readonly service: string | null
  /** Of either family, as the other side sees it. */
  readonly address: string
}

export interface PolicyModel {
  readonly rules: readonly ServicePolicies[]
  /** Network -> its blocks, of either family. */
  readonly networks: ReadonlyMap<string, readonly string[]>
}

export interface PolicyConnection {
  readonly from: PolicyEndpoint
  readonly to: PolicyEndpoint
  readonly port: number
  readonly protocol: PolicyProtocol
}

/**
 * Whether the policies let somebody open a connection that the networks permit: the one side may send
 * it, and the other may receive it. What the kernel is told to do must agree with this.
 */
export const allowed = (model: PolicyModel, connection: PolicyConnection): boolean =>
  passes(model, 'egress', connection) && passes(model, 'ingress', connection)

function passes(
  model: PolicyModel,
  direction: PolicyDirection,
  connection: PolicyConnection,
): boolean {
  const { from, to } = connection
  const [own, other] = direction === 'egress' ? [from, to] : [to, from]
  const policies = model.rules.find(({ service }) => service === own.service)
  const rules = policies === undefined ? [] : rulesOf(policies, direction)
  const first = rules.find((rule) => matches(model, rule, { ...connection, other }))
  return first === undefined || first.verdict === 'allow'
}

function matches(
  model: PolicyModel,
  { rule: { peers, ports } }: NamedRule,
  at: PolicyConnection & { readonly other: PolicyEndpoint },
): boolean {
  const isPeer = peers.length === 0 || peers.some((peer) => isAt(model, peer, at.other))
  const isPort =
    ports.length === 0 ||
    ports.some(
      ({ protocol, first, last }) =>
        protocol === at.protocol && first <= at.port && at.port <= last,
    )
  return isPeer && isPort
}

function isAt({ networks }: PolicyModel, peer: PolicyPeer, other: PolicyEndpoint): boolean {
  const { address } = other
  if (peer.kind === 'service') return peer.service === other.service
  if (peer.kind === 'network')
    return (networks.get(peer.network) ?? []).some((block) => holds(block, address))
  return holds(peer.cidr, address) && !peer.except.some((block) => holds(block, address))
}

/** Whether an address, of either family, is in a block. */
export function holds(block: string, address: string): boolean {
  if (block.includes(':') !== address.includes(':')) return false
  if (!block.includes(':')) return contains(block, address)
  const [outer, inner] = [parseBlock6(block), parseBlock6(address)]
  return outer !== null && inner !== null && meet6(outer, inner)
}
