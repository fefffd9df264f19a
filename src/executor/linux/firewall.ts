import { PakError } from '../../errors.ts'
import { ipBatch } from '../../kernel/ip.ts'
import { isLan } from '../../model/network-kind.ts'
import type { Step, StepOf } from '../../model/plan.ts'
import { ANY_HOST, ANY_HOST6, portText } from '../../model/port.ts'
import { isForeign } from '../../model/shared.ts'
import { serviceAddressBatch } from '../../network/bridge.ts'
import {
  applyFirewall,
  type FirewallNetwork,
  type Publication,
  removeFirewall,
  type ServiceAddress,
} from '../../network/firewall.ts'
import { type FirewallElement, networkElements } from '../../network/firewall-elements.ts'
import { isClosed, type OtherChain } from '../../network/firewall-others.ts'
import { hasAddress6, readNetwork } from '../../network/view.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { expected } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { changeNetwork, networksFor, withJoined } from './joined.ts'
import { leaseAddresses } from './leases.ts'
import { policyFacets, rememberPolicies } from './policies.ts'
import {
  type ContainerRecord,
  type NetworkRecord,
  serviceAddresses,
  serviceLease,
} from './records.ts'
import { vxlanOf } from './tunnels.ts'

type FirewallStep = StepOf<'firewall.apply'> | StepOf<'firewall.admit'>

/** Networks, published ports and services of the project, in one nft transaction. */
export async function applyFirewallSteps(
  host: LinuxHost,
  steps: readonly FirewallStep[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const outcomes: StepOutcome[] = []
  for (const step of steps) outcomes.push(await applyOne(host, step, context))
  return outcomes
}

async function applyOne(
  host: LinuxHost,
  { args }: FirewallStep,
  { project }: RunContext,
): Promise<StepOutcome> {
  const { table } = host.layout
  const look = (question: { readonly lifts: boolean; readonly policies: string | null }) =>
    host.seenTable.look(question)
  try {
    const before = [...(await withJoined(host, project)).networks.values()]
    const had = before.some((record) => Object.keys(serviceAddresses(record)).length > 0)
    const { policies: planned = null } = args
    const guarded = planned ?? (await host.records.of(project)).project?.policies ?? null
    const lifts = had || args.services.length > 0 || guarded !== null
    const heirs = doorHeirs(host, project)
    if (isEmpty(args)) {
      await besideOthers(host, async (others) => {
        const request = { table, project, lifts, others, heirs }
        host.seenTable.trust(await removeFirewall(host.kernel, request, look))
      })
      host.others.forget()
      await rememberPolicies(host, project, null)
      return null
    }
    const { published, services } = await leased(host, project, args)
    const gone = had ? await forgetAddresses(host, project, args) : []
    await placeAddresses(host, services)
    const networks = await knownNetworks(host, project, args.networks)
    const { dnsPort } = host
    const all = await withJoined(host, project)
    const joined = [...all.networks.values()]
      .filter(({ spec }) => isForeign(spec.name) && !isLan(spec))
      .map(firewallNetwork)
    const policed = policyFacets(host, all, planned)
    const at = { table, project, dnsPort, networks, joined }
    const request = { ...at, published, services, lifts, heirs, ...policed }
    const seen = await besideOthers(host, async (others) =>
      host.seenTable.trust(await applyFirewall(host.kernel, { ...request, others }, look)),
    )
    // What is there now is not what was seen. Looked at while containers start, not when the next command waits.
    if (seen.some((chain) => isClosed(chain, { table, dnsPort }))) host.others.lookAgain()
    await rememberPolicies(host, project, planned)
    const removal = serviceAddressBatch(gone.map((at) => ({ ...at, verb: 'del' })))
    await ipBatch(host.kernel, removal, { goneIsFine: true })
    return null
  } catch (error) {
    const outcome = expected(error)
    if (outcome === null) throw error
    return outcome
  } finally {
    host.seenTable.forget()
  }
}

/** Who is only on networks of others may publish ports all the same. */
const isEmpty = ({ networks, published, services, policies }: FirewallStep['args']): boolean =>
  networks.length + published.length + services.length === 0 && policies === undefined

/** With rules in the chains of others, which are returned; where somebody forbids that, without them. */
async function besideOthers(
  host: LinuxHost,
  apply: (others: readonly OtherChain[]) => Promise<void>,
): Promise<readonly OtherChain[]> {
  const seen = await host.others.look()
  try {
    await apply(seen)
    return seen
  } catch (error) {
    if (expected(error)?.code !== 'network' || seen.length === 0) throw error
  }
  // It may have been about what is there no more.
  host.others.forget()
  const now = await host.others.look()
  try {
    await apply(now)
    return now
  } catch {
    // Its own error is told by the next line, where there is one.
    await apply([])
    host.others.refuse(now)
    return []
  }
}

/** What of others will stand in the way of containers that get a network now. */
export async function firewallCautions(
  host: LinuxHost,
  steps: readonly Step[],
): Promise<readonly string[]> {
  const opens = steps.some(
    (step) => step.op === 'firewall.apply' && step.because.kind === 'missing',
  )
  return opens ? host.others.cautions() : []
}

async function knownNetworks(
  host: LinuxHost,
  projectName: string,
  names: readonly string[],
): Promise<readonly FirewallNetwork[]> {
  const { networks } = await host.records.of(projectName)
  return names.map((name) => {
    const record = networks.get(name)
    if (record === undefined) throw new PakError('conflict', `firewall: no network \`${name}\``)
    return firewallNetwork(record)
  })
}

/** What other projects want of doors that are open for whoever comes. */
export const doorHeirs = (host: LinuxHost, project: string): readonly FirewallElement[] =>
  host.records
    .loaded()
    .filter(({ name }) => name !== project)
    .flatMap(({ name, networks }) =>
      [...networks.values()].flatMap((record) =>
        record.cni === undefined ? [] : networkElements(name, firewallNetwork(record)),
      ),
    )

export function firewallNetwork(record: NetworkRecord): FirewallNetwork {
  const { spec, bridge, subnet, gateway, ipv6, cni } = record
  const { name, internal, isolated = false } = spec
  if (cni !== undefined) return { name, bridge, subnet, gateway, internal, doors: cni.doors }
  const six = ipv6 === undefined ? {} : { subnet6: ipv6.subnet }
  const vxlan = vxlanOf(record)
  const tunnel = vxlan === null ? {} : { tunnel: vxlan }
  return { name, bridge, subnet, gateway, internal, isolated, ...six, ...tunnel }
}

interface Wish {
  readonly container: string
  readonly network: string
  readonly ipv4: string | null
  readonly ipv6?: string
  readonly reserved?: readonly string[]
  readonly fromTop?: boolean
}

interface Leased {
  readonly published: readonly Publication[]
  readonly services: readonly ServiceAddress[]
}

/** The addresses behind ports and services; leased here when a container is still to be made. */
async function leased(
  host: LinuxHost,
  projectName: string,
  { published, services, policies }: FirewallStep['args'],
): Promise<Leased> {
  const wanted: readonly Wish[] = [
    ...published,
    ...(policies?.members ?? []).flatMap(({ container, networks: on }) =>
      on.map((at) => ({ ...at, container })),
    ),
    ...services.flatMap(({ service, network, targets, reserved }) => [
      ...targets.map((target) => ({ ...target, network })),
      { container: serviceLease(service), network, ipv4: null, reserved, fromTop: true },
    ]),
  ]
  const requests = wanted.map(({ container, network, reserved = [], fromTop = false, ...at }) => {
    const six = at.ipv6 === undefined ? {} : { ipv6: at.ipv6 }
    const attachment = { network, ipv4: at.ipv4, aliases: [], ...six }
    return { container, reserved, fromTop, networks: [attachment] }
  })
  const addresses = await leaseAddresses(host, projectName, requests)
  const found = new Map(
    wanted.map(({ container, network }, index) => {
      const answer = addresses[index]
      if (answer instanceof PakError) throw answer
      return [`${network} ${container}`, answer?.[network]] as const
    }),
  )
  const addressOf = (network: string, holder: string): string => {
    const address = found.get(`${network} ${holder}`)
    if (address !== undefined) return address
    throw new PakError('network', `firewall: \`${holder}\` has no address in \`${network}\``)
  }
  const networks = networksFor(host, projectName)
  return {
    published: published.flatMap(({ ipv4: _, ipv6: __, network, ...port }) =>
      sides(
        { ...port, address: addressOf(network, port.container) },
        networks.get(network)?.ipv6?.leases[port.container] ?? null,
      ),
    ),
    services: services.flatMap(({ service, network, affinity, targets }) => {
      const former = formerOf(host, projectName, { service, network, targets })
      const four = {
        bridge: networks.get(network)?.bridge ?? '',
        address: addressOf(network, serviceLease(service)),
        affinity,
        targets: targets.map(({ container }) => addressOf(network, container)),
        former: former.flatMap(({ addresses }) => addresses[network] ?? []),
      }
      const leases = networks.get(network)?.ipv6?.leases ?? {}
      const address = leases[serviceLease(service)]
      const targets6 = targets.flatMap(({ container }) => leases[container] ?? [])
      if (address === undefined || targets6.length < targets.length) return [four]
      const former6 = former.flatMap(({ addresses6 }) => addresses6?.[network] ?? [])
      return [four, { ...four, address, targets: targets6, former: former6 }]
    }),
  }
}

function formerOf(
  host: LinuxHost,
  projectName: string,
  at: Pick<FirewallStep['args']['services'][number], 'service' | 'network' | 'targets'>,
): readonly ContainerRecord[] {
  const containers = host.records.peek(projectName)?.containers.values() ?? []
  return [...containers].filter(
    ({ name, service }) =>
      service === at.service && !at.targets.some(({ container }) => container === name),
  )
}

/** One element of the firewall for each family: a port of all addresses is one of IPv6, too, where that is. */
function sides(port: Publication, address6: string | null): readonly Publication[] {
  if (port.hostIp.includes(':')) {
    if (address6 !== null) return [{ ...port, address: address6 }]
    throw new PakError('network', `publish ${portText(port)}: the container has no IPv6 address`, {
      hint: 'say `enable_ipv6: true` of its network',
    })
  }
  if (port.hostIp !== ANY_HOST || address6 === null) return [port]
  return [port, { ...port, hostIp: ANY_HOST6, address: address6 }]
}

/** Recorded before it is there: an address that nobody has written down would stay for good. */
async function placeAddresses(host: LinuxHost, services: readonly ServiceAddress[]): Promise<void> {
  if (services.length === 0) return
  const there = readNetwork(host.kernel, 'self')?.addresses ?? new Set()
  const missing = services.filter(({ address }) =>
    address.includes(':') ? !hasAddress6(host.kernel, 'self', address) : !there.has(address),
  )
  await ipBatch(
    host.kernel,
    serviceAddressBatch(
      missing.map((at) => ({ bridge: at.bridge, address: at.address, verb: 'replace' })),
    ),
  )
}

/** Give back the addresses of services that shall have none; they leave their bridge afterwards. */
async function forgetAddresses(
  host: LinuxHost,
  projectName: string,
  { services }: FirewallStep['args'],
): Promise<readonly { readonly bridge: string; readonly address: string }[]> {
  const wanted = new Set(services.map(({ service, network }) => `${network} ${service}`))
  const gone: { bridge: string; address: string }[] = []
  for (const record of networksFor(host, projectName).values()) {
    const lost = Object.entries(serviceAddresses(record)).filter(
      ([service]) => !wanted.has(`${record.spec.name} ${service}`),
    )
    if (lost.length === 0) continue
    const holders = new Set(lost.map(([service]) => serviceLease(service)))
    const at = { project: projectName, network: record.spec.name }
    const rest = (leases: NetworkRecord['leases']) =>
      Object.fromEntries(Object.entries(leases).filter(([holder]) => !holders.has(holder)))
    await changeNetwork(host, at, ({ ipv6, ...now }) => ({
      ...now,
      leases: rest(now.leases),
      ...(ipv6 === undefined ? {} : { ipv6: { ...ipv6, leases: rest(ipv6.leases) } }),
    }))
    const six = [...holders].flatMap((holder) => record.ipv6?.leases[holder] ?? [])
    for (const address of [...lost.map(([, each]) => each), ...six])
      gone.push({ bridge: record.bridge, address })
  }
  return gone
}
