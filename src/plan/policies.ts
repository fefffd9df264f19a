import type { Service } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import { isOneOff } from '../model/one-off.ts'
import type { PlannedMember, PlannedPolicies } from '../model/plan.ts'
import { peerServices, ruleText, type ServicePolicies } from '../model/policy.ts'
import type { Member } from './balance.ts'
import { compareText } from './unit.ts'

/** Who may talk to whom once these containers are there; `null`: everybody. Without a file it stays as it is. */
export function plannedPolicies(
  { firewall }: ObservedState,
  services: readonly Service[] | null,
  members: readonly Member[],
): PlannedPolicies | null {
  const there = new Set(members.map(({ service }) => service))
  const rules =
    services === null
      ? (firewall.policies?.planned?.rules ?? []).filter(({ service }) => there.has(service))
      : declared(services)
  if (rules.length === 0) return null
  const concerned = new Set(rules.flatMap((each) => [each.service, ...peerServices(each)]))
  return {
    rules,
    members: members
      .filter(({ service, spec }) => concerned.has(service) && !isOneOff(spec))
      .filter(({ spec }) => spec.networkMode.kind === 'bridge')
      .map(memberOf)
      .sort((a, b) => compareText(a.container, b.container)),
  }
}

const declared = (services: readonly Service[]): readonly ServicePolicies[] =>
  services
    .flatMap(({ name, policies }) => (policies === undefined ? [] : [{ service: name, policies }]))
    .sort((a, b) => compareText(a.service, b.service))

const memberOf = ({ container, service, spec, connected }: Member): PlannedMember => ({
  container,
  service,
  networks: [...spec.networks, ...connected].map(({ network, ipv4, ipv6 }) => ({
    network,
    ipv4,
    ...(ipv6 === undefined ? {} : { ipv6 }),
  })),
})

/** A text for each side and each container: equal texts are equal policies. */
export function policyTexts(planned: PlannedPolicies | null): readonly string[] {
  if (planned === null) return []
  return [
    ...planned.rules.flatMap(({ service, policies }) =>
      (['ingress', 'egress'] as const).flatMap((direction) => {
        const side = policies[direction]
        if (side === undefined) return []
        const { otherwise, allow, deny } = side
        const lists = [
          ...deny.map((rule) => `deny ${ruleText(rule)}`),
          ...allow.map((rule) => `allow ${ruleText(rule)}`),
        ]
        return `${service} ${direction}: ${[...lists, `else ${otherwise}`].join(', ')}`
      }),
    ),
    ...planned.members.map(({ container, service, networks }) => {
      const places = networks.map(({ network, ipv4, ipv6 }) =>
        [network, ipv4, ipv6].filter((part) => typeof part === 'string').join(' '),
      )
      return `${container} as ${service} on ${places.join(', ')}`
    }),
  ]
}
