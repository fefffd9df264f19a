import { type PolicyPeer, rulesOf } from '../model/policy.ts'
import { type Check, partOf, reportAt } from './check.ts'
import { nearest } from './nearest.ts'
import { DEFAULT_NETWORK } from './networks.ts'

/** Policies are of containers with networks of pak's, and name what the file has. */
export function checkPolicies({ draft, problems }: Check): void {
  const modes = new Map(
    draft.services.map(({ service }) => [service.name, service.container.networkMode.kind]),
  )
  const networks = new Set([
    DEFAULT_NETWORK,
    ...[...draft.networks, ...draft.externals].map(({ value }) => value.name),
  ])
  const problemOf = (peer: PolicyPeer): readonly [string, string | null] | null => {
    if (peer.kind === 'cidr') return null
    if (peer.kind === 'network')
      return networks.has(peer.network)
        ? null
        : [`there is no network \`${peer.network}\``, nearest(peer.network, [...networks])]
    const mode = modes.get(peer.service)
    if (mode === undefined)
      return [`there is no service \`${peer.service}\``, nearest(peer.service, [...modes.keys()])]
    if (mode === 'bridge') return null
    return [`service \`${peer.service}\` has no address of its own`, 'name it by `cidr`']
  }
  for (const { service, field } of draft.services) {
    const { policies, name } = service
    if (policies === undefined) continue
    const at = partOf(field, 'policies')
    if (modes.get(name) !== 'bridge')
      reportAt(problems, at, 'policies need a container with networks of its own')
    const rules = (['ingress', 'egress'] as const).flatMap((direction) =>
      rulesOf({ service: name, policies }, direction),
    )
    for (const peer of rules.flatMap(({ rule }) => rule.peers)) {
      const problem = problemOf(peer)
      if (problem !== null) reportAt(problems, at, problem[0], problem[1])
    }
  }
}
