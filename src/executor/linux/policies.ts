import { nftApply } from '../../kernel/nft.ts'
import type { ObservedPolicies } from '../../model/observed.ts'
import { policedAs } from '../../model/one-off.ts'
import type { PlannedPolicies } from '../../model/plan.ts'
import { ruleName, rulesOf } from '../../model/policy.ts'
import { placeOf } from '../../model/shared.ts'
import { macAddress } from '../../network/bridge.ts'
import type { FirewallRequest } from '../../network/firewall.ts'
import { type Identity, identityChange, identityScript } from '../../network/firewall-antispoof.ts'
import { type FirewallFacts, observeFirewall } from '../../network/firewall-observe.ts'
import { holds } from '../../network/policy-model.ts'
import { policyScript, shapeOf } from '../../network/policy-script.ts'
import {
  counterName,
  type PolicyRequest,
  type PolicyTable,
  policyTable,
  policyTableName,
} from '../../network/policy-table.ts'
import { endsOf, identityOf } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { guestsOf, networksFor, withJoined } from './joined.ts'
import type { ContainerRecord, NetworkRecord, ProjectRecords } from './records.ts'

/** The firewall's part of planned policies: addresses as they are leased. */
export function policyFacets(
  host: LinuxHost,
  records: ProjectRecords,
  planned: PlannedPolicies | null,
): Pick<FirewallRequest, 'policies' | 'guarded' | 'identities'> {
  if (planned === null) return { policies: null, guarded: [] }
  const guarded = guardedNetworks(records, planned)
  return {
    policies: requestOf(records, planned),
    guarded: guarded.map(({ bridge }) => bridge),
    identities: identitiesOn(host, records.name, guarded),
  }
}

/** Of all containers that are on networks, whosever they are. */
const identitiesOn = (
  host: LinuxHost,
  project: string,
  networks: readonly NetworkRecord[],
  isMeant: (container: ContainerRecord) => boolean = () => true,
): readonly Identity[] =>
  networks.flatMap(({ spec }) => {
    const { owner, name } = placeOf(project, spec.name)
    const guests = guestsOf(host, owner, name).filter(({ record }) => isMeant(record))
    return guests.flatMap((guest) =>
      endsOf(guest.record, networksFor(host, guest.project))
        .filter(({ network }) => network.spec.name === guest.called)
        .map(identityOf),
    )
  })

/**
 * Let containers be themselves on networks where only what the firewall knows comes through: before they
 * have an interface there. Without such a network, or where it knows them, nothing is asked of nft.
 */
export async function admitIdentities(
  host: LinuxHost,
  projectName: string,
  identities: readonly (Identity & { readonly bridge: string })[],
): Promise<void> {
  const guarded = new Set(
    host.records.loaded().flatMap((records) => {
      const planned = records.project?.policies
      if (planned === undefined) return []
      const all = { ...records, networks: networksFor(host, records.name) }
      return guardedNetworks(all, planned).map(({ bridge }) => bridge)
    }),
  )
  const bound = identities.filter(({ bridge }) => guarded.has(bridge))
  if (bound.length === 0) return
  const records = await host.records.of(projectName)
  const question = { lifts: true, policies: policyTableAsked(host, records) }
  const known = await host.seenTable.known(question)
  const lines = identityScript(host.layout.table, identityChange(known.identities, bound))
  // A table that is not as it should be is made anew, with all who are there.
  if (lines.length === 0 || known.lifts === null) return
  await nftApply(host.kernel, `${lines.join('\n')}\n`)
  host.seenTable.forget()
}

/** Written down once the kernel does it: what fails is tried again by the next plan. */
export async function rememberPolicies(
  host: LinuxHost,
  projectName: string,
  planned: PlannedPolicies | null,
): Promise<void> {
  const { project } = await host.records.of(projectName)
  if (project === null || JSON.stringify(project.policies ?? null) === JSON.stringify(planned))
    return
  const { policies: _, ...rest } = project
  const record = planned === null ? rest : { ...rest, policies: planned }
  await host.records.putProject(projectName, record)
}

/** A container that no plan has: it comes under its service's policies before it has an interface. */
export async function admitToPolicies(host: LinuxHost, projectName: string): Promise<void> {
  const records = await withJoined(host, projectName)
  const wanted = wantedTable(host, records)
  if (wanted === null) return
  const { policies } = await observeFirewall(host.kernel, host.layout.table, {
    lifts: false,
    policies: wanted.name,
  })
  const lines = policyScript(wanted, policies)
  if (lines.length === 0) return
  await nftApply(host.kernel, `${lines.join('\n')}\n`)
  host.seenTable.forget()
}

/** The table to look at; `null`: there are no policies. */
export const policyTableAsked = (
  { layout }: LinuxHost,
  { project, name }: ProjectRecords,
): string | null => (project?.policies === undefined ? null : policyTableName(layout.table, name))

/** What the kernel does of what it was told, and how often each rule has decided. */
export function observePolicies(
  host: LinuxHost,
  records: ProjectRecords,
  { policies: seen, lifts, identities }: FirewallFacts,
): ObservedPolicies {
  const planned = records.project?.policies ?? null
  const wanted = wantedTable(host, records)
  if (planned === null || wanted === null) return { planned, whole: false, counts: {} }
  const guarded = guardedNetworks(records, planned)
  const lifted = guarded.every(({ subnet, ipv6, gateway }) =>
    [subnet, ...(ipv6 === undefined ? [] : [ipv6.subnet])].every((block) =>
      (lifts ?? []).some((lift) => lift.subnet === block && lift.mac === macAddress(gateway)),
    ),
  )
  const bound =
    guarded.every(({ subnet }) =>
      (lifts ?? []).some((lift) => lift.subnet === subnet && lift.isBound),
    ) &&
    identityChange(identities, identitiesOn(host, records.name, guarded)).gone.length === 0 &&
    identityChange(identities, identitiesOn(host, records.name, guarded, isUp)).added.length === 0
  const rules = planned.rules.flatMap((policies) =>
    (['ingress', 'egress'] as const).flatMap((direction) => rulesOf(policies, direction)),
  )
  const whole = seen !== null && seen.shape === shapeOf(wanted) && holdsSets(records, wanted, seen)
  return {
    planned,
    whole: whole && lifted && bound,
    counts: Object.fromEntries(
      rules.flatMap((rule) => {
        const count = seen?.counts.get(counterName(rule))
        return count === undefined ? [] : [[ruleName(rule), count]]
      }),
    ),
  }
}

/** One that is being made, or rests, comes under its policies before it has an interface. */
const isUp = ({ run }: ContainerRecord): boolean => run !== null

/** An address more of its networks does no harm as long as no other container has it: replicas come and go. */
function holdsSets(
  { containers, networks }: ProjectRecords,
  wanted: PolicyTable,
  { sets }: NonNullable<FirewallFacts['policies']>,
): boolean {
  const taken = addressesOf([...containers.values()])
  const awaited = addressesOf([...containers.values()].filter((record) => !isUp(record)))
  const blocks = [...networks.values()].flatMap(({ subnet, ipv6 }) => [
    subnet,
    ...(ipv6 === undefined ? [] : [ipv6.subnet]),
  ])
  return wanted.sets.every(({ name, elements }) => {
    const there = sets.get(name) ?? new Set()
    const expected = new Set(elements)
    const extra = [...there].filter((element) => !expected.has(element))
    return (
      elements.every((element) => there.has(element) || awaited.has(element)) &&
      extra.every(
        (element) =>
          name.startsWith('s') && !taken.has(element) && blocks.some((b) => holds(b, element)),
      )
    )
  })
}

const addressesOf = (containers: readonly ContainerRecord[]): ReadonlySet<string> =>
  new Set(
    containers.flatMap(({ addresses, addresses6 = {} }) => [
      ...Object.values(addresses),
      ...Object.values(addresses6),
    ]),
  )

function wantedTable(host: LinuxHost, records: ProjectRecords): PolicyTable | null {
  const planned = records.project?.policies
  if (planned === undefined) return null
  const { dnsPort, layout } = host
  const at = { table: layout.table, project: records.name, dnsPort }
  return policyTable(at, requestOf(records, planned))
}

/** Containers that the plan has, and those that are there, with the service that each is of. */
function holdersOf({ containers }: ProjectRecords, { members }: PlannedPolicies) {
  const planned = members.map(({ container, service, networks }) => ({
    container,
    service,
    networks: networks.map(({ network }) => network),
  }))
  const recorded = [...containers.values()].map(({ name, service, spec, addresses }) => ({
    container: name,
    service: policedAs(service, spec),
    networks: Object.keys(addresses),
  }))
  return [...planned, ...recorded]
}

function requestOf(records: ProjectRecords, planned: PlannedPolicies): PolicyRequest {
  const members = new Map<string, readonly string[]>()
  for (const { container, service, networks } of holdersOf(records, planned)) {
    const addresses = networks.flatMap((name) => {
      const record = records.networks.get(name)
      return [record?.leases[container] ?? [], record?.ipv6?.leases[container] ?? []].flat()
    })
    members.set(service, [...new Set([...(members.get(service) ?? []), ...addresses])].sort())
  }
  return {
    rules: planned.rules,
    members,
    networks: new Map(
      [...records.networks.values()].map(({ spec, subnet, ipv6 }) => [
        spec.name,
        [subnet, ...(ipv6 === undefined ? [] : [ipv6.subnet])],
      ]),
    ),
  }
}

/** Networks that containers with policies are on. */
function guardedNetworks(
  records: ProjectRecords,
  planned: PlannedPolicies,
): readonly NetworkRecord[] {
  const policed = new Set(planned.rules.map(({ service }) => service))
  const names = new Set(
    holdersOf(records, planned).flatMap(({ service, networks }) =>
      policed.has(service) ? networks : [],
    ),
  )
  return [...records.networks.values()].filter(({ spec }) => names.has(spec.name))
}
