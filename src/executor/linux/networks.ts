import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import { withHostLock } from '../../kernel/host-lock.ts'
import { ipBatch } from '../../kernel/ip.ts'
import type { Attachment } from '../../model/desired.ts'
import type { StepOf } from '../../model/plan.ts'
import {
  allowForwarding,
  attachBatch,
  bridgeName,
  createBridges,
  removeBridges,
  vethName,
} from '../../network/bridge.ts'
import { chooseSubnet, gatewayOf, hostRoutes, lease } from '../../network/ipam.ts'
import { block6, chooseSubnet6, gateway6Of, hostRoutes6, lease6 } from '../../network/ipam6.ts'
import { parseCidr } from '../../network/ipv4.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { expected, forEach } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { type ContainerRecord, type NetworkRecord, serviceAddresses } from './records.ts'

/** Records and bridges of all networks that are asked for, in one `ip` batch. */
export async function createNetworks(
  host: LinuxHost,
  steps: readonly StepOf<'network.create'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const records: NetworkRecord[] = []
  // A subnet is free until a bridge has it: another project, or an agent of other roots, may choose too.
  const outcomes = await withHostLock('subnets', async () => {
    const found = await choose(host, steps, { context, records })
    const failure = await bringUp(host, context.project, records)
    return failure === null ? found : found.map((own) => own ?? failure)
  })
  if (!outcomes.some((outcome) => outcome !== null)) await reattach(host, context.project, records)
  return outcomes
}

async function choose(
  host: LinuxHost,
  steps: readonly StepOf<'network.create'>[],
  { context, records }: { readonly context: RunContext; readonly records: NetworkRecord[] },
): Promise<readonly StepOutcome[]> {
  const taken = [...(await hostRoutes(host.kernel)), ...(await knownSubnets(host))]
  const taken6 = steps.some(({ args }) => args.network.ipv6 !== undefined)
    ? [...(await hostRoutes6(host.kernel)), ...(await knownSubnets6(host))]
    : []
  return forEach(steps, { ...context, concurrency: 1 }, async ({ args }) => {
    const { networks } = await host.records.of(context.project)
    const known = networks.get(args.network.name)
    if (known === undefined && args.network.bridge !== undefined)
      await refuseForeignBridge(host, args.network.bridge)
    const record = known ?? describe(host, context.project, args.network, { taken, taken6 })
    taken.push(record.subnet)
    if (record.ipv6 !== undefined) taken6.push(record.ipv6.subnet)
    records.push(record)
  })
}

/** Recorded first: a bridge that nobody has written down would stay for good. */
async function bringUp(
  host: LinuxHost,
  projectName: string,
  records: readonly NetworkRecord[],
): Promise<StepOutcome> {
  const { networks } = await host.records.of(projectName)
  const added = records.filter(({ spec }) => !networks.has(spec.name))
  for (const record of records) await host.records.putNetwork(projectName, record)
  try {
    await allowForwarding(host.kernel)
    await createBridges(
      host.kernel,
      records.map((record) => ({
        name: record.bridge,
        gateway: record.gateway,
        prefix: parseCidr(record.subnet).prefix,
        services: Object.values(serviceAddresses(record)),
        ...bridgeOptions(record),
      })),
    )
    return null
  } catch (error) {
    await removeBridges(
      host.kernel,
      added.map(({ bridge }) => bridge),
    )
    for (const { spec } of added) await host.records.drop(projectName, 'networks', spec.name)
    return failureOf(error)
  }
}

export async function removeNetworks(
  host: LinuxHost,
  steps: readonly StepOf<'network.remove'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const { networks } = await host.records.of(context.project)
  const bridges = steps.flatMap(({ args }) => networks.get(args.network)?.bridge ?? [])
  try {
    await removeBridges(host.kernel, bridges)
  } catch (error) {
    const failure = failureOf(error)
    return steps.map(() => failure)
  }
  return forEach(steps, context, ({ args }) =>
    host.records.drop(context.project, 'networks', args.network),
  )
}

/** A bridge that was deleted and made anew: what ran on it hangs in the air until it is put back. */
async function reattach(
  host: LinuxHost,
  projectName: string,
  networks: readonly NetworkRecord[],
): Promise<void> {
  const { containers } = await host.records.of(projectName)
  const wanted = networks.flatMap(({ spec, bridge }) =>
    [...containers.values()].flatMap((record) =>
      record.run !== null && record.addresses[spec.name] !== undefined
        ? {
            host: hostEnd(host, record, { network: spec.name, pid: record.run.pid }),
            bridge,
            isolated: spec.isolated ?? false,
          }
        : [],
    ),
  )
  if (wanted.length === 0) return
  const links = new Set(await host.kernel.list('/sys/class/net'))
  await ipBatch(host.kernel, attachBatch(wanted.filter((link) => links.has(link.host))))
}

/**
 * Host end of a container's veth. The kernel frees a dead namespace's veth in its own time: the pid in
 * the name keeps a restart from needing the old one.
 */
export const hostEnd = (
  host: LinuxHost,
  record: ContainerRecord,
  { network, pid }: { readonly network: string; readonly pid: number },
): string => vethName(host.layout.seed(record.id, network, String(pid)))

/** The host ends of a container's run; its first process, long gone maybe, is in its bundle's pid file. */
export async function hostEnds(host: LinuxHost, record: ContainerRecord): Promise<string[]> {
  const pid = Number(await host.kernel.readText(join(host.layout.bundle(record.id), 'pid')))
  if (!Number.isSafeInteger(pid) || pid < 2) return []
  return Object.keys(record.addresses).map((network) => hostEnd(host, record, { network, pid }))
}

interface LeaseRequest {
  readonly container: string
  /** See `lease`. */
  readonly reserved?: readonly string[]
  readonly fromTop?: boolean
  readonly networks: readonly Attachment[]
}

/**
 * Addresses for many containers, with one write a network. A container that had an address in a
 * network gets it again. What cannot be leased is that request's PakError.
 */
export async function leaseAddresses(
  host: LinuxHost,
  projectName: string,
  requests: readonly LeaseRequest[],
): Promise<readonly (Readonly<Record<string, string>> | PakError)[]> {
  const { networks } = await host.records.of(projectName)
  const changed = new Set<string>()
  const leased = requests.map(({ networks: attachments, ...request }) => {
    const { container } = request
    try {
      return Object.fromEntries(
        attachments.map(({ network, ipv4 }) => {
          const record = networks.get(network)
          if (record === undefined)
            throw new PakError('conflict', `lease address \`${container}\`: no network ${network}`)
          const address = lease(leaseOf(record, { ...request, wanted: ipv4 }))
          if (record.leases[container] !== address) {
            networks.set(network, { ...record, leases: { ...record.leases, [container]: address } })
            changed.add(network)
          }
          return [network, address]
        }),
      )
    } catch (error) {
      const outcome = expected(error)
      if (outcome === null) throw error
      return outcome
    }
  })
  leaseAddresses6(networks, requests, { leased, changed })
  for (const name of changed) {
    const record = networks.get(name)
    if (record !== undefined) await host.records.putNetwork(projectName, record)
  }
  return leased
}

/** What the file sets aside is held by a word that is no container's name. */
const auxLease = (name: string): string => `aux/${name}`

function auxLeases(spec: NetworkRecord['spec'], family: 4 | 6): Readonly<Record<string, string>> {
  const own = Object.entries(spec.auxAddresses ?? {}).filter(
    ([, address]) => address.includes(':') === (family === 6),
  )
  return Object.fromEntries(own.map(([name, address]) => [auxLease(name), address]))
}

function leaseOf<T extends object>(record: NetworkRecord, request: T) {
  const { subnet, gateway, spec } = record
  const range = spec.ipRange === undefined ? {} : { range: spec.ipRange }
  const leases = { ...record.leases, ...auxLeases(spec, 4) }
  return { subnet, gateway, leases, ...range, ...request }
}

/** For whoever has got an IPv4 address on a network that has IPv6, too; not for addresses of services. */
function leaseAddresses6(
  networks: Map<string, NetworkRecord>,
  requests: readonly LeaseRequest[],
  { leased, changed }: { leased: (object | PakError)[]; changed: Set<string> },
): void {
  for (const [index, { container, networks: attachments, fromTop = false }] of requests.entries())
    for (const { network, ipv6 } of attachments) {
      const [record, answer] = [networks.get(network), leased[index]]
      if (record?.ipv6 === undefined || fromTop || answer instanceof PakError) continue
      try {
        const address = leaseOf6(record, container, ipv6 ?? null)
        if (record.ipv6.leases[container] === address) continue
        const leases = { ...record.ipv6.leases, [container]: address }
        networks.set(network, { ...record, ipv6: { ...record.ipv6, leases } })
        changed.add(network)
      } catch (error) {
        leased[index] = failureOf(error)
      }
    }
}

function leaseOf6(record: NetworkRecord, container: string, wanted: string | null): string {
  const { ipv6, spec, subnet } = record
  const address = record.leases[container]
  if (ipv6 === undefined || address === undefined)
    throw new PakError('network', `lease address \`${container}\`: it has none of IPv4`)
  const leases = { ...ipv6.leases, ...auxLeases(spec, 6) }
  return lease6({ ...ipv6, leases, container, wanted, ipv4: { address, subnet } })
}

/** Network -> IPv6 address of a container on those of `networks` that have IPv6. */
export async function addresses6Of(
  host: LinuxHost,
  projectName: string,
  { container, networks: attached }: LeaseRequest,
): Promise<Readonly<Record<string, string>>> {
  const { networks } = await host.records.of(projectName)
  return Object.fromEntries(
    attached.flatMap(({ network }) => {
      const address = networks.get(network)?.ipv6?.leases[container]
      return address === undefined ? [] : [[network, address]]
    }),
  )
}

/** What of a network's bridge is only there where it is declared. */
function bridgeOptions({ spec: { mtu }, ipv6 }: NetworkRecord) {
  return {
    ...(mtu === undefined ? {} : { mtu }),
    ...(ipv6 === undefined
      ? {}
      : { ipv6: { gateway: ipv6.gateway, prefix: block6(ipv6.subnet).prefix } }),
  }
}

/** A bridge of that name that pak has not made is somebody's. */
async function refuseForeignBridge(host: LinuxHost, bridge: string): Promise<void> {
  if (!(await host.kernel.exists(`/sys/class/net/${bridge}`))) return
  throw new PakError('conflict', `make bridge \`${bridge}\`: there is a link of that name`, {
    hint: 'give it another name, or leave it out and pak picks one',
  })
}

/** The same of IPv6. */
export async function knownSubnets6(host: LinuxHost): Promise<readonly string[]> {
  const names = await host.records.projectNames()
  const projects = await Promise.all(names.map((name) => host.records.of(name)))
  return projects.flatMap(({ networks }) =>
    [...networks.values()].flatMap(({ ipv6 }) => ipv6?.subnet ?? []),
  )
}

/** Subnets of every network of every project under this state root. */
export async function knownSubnets(host: LinuxHost): Promise<readonly string[]> {
  const names = await host.records.projectNames()
  const projects = await Promise.all(names.map((name) => host.records.of(name)))
  return projects.flatMap(({ networks }) => [...networks.values()].map(({ subnet }) => subnet))
}

function describe(
  host: LinuxHost,
  projectName: string,
  spec: NetworkRecord['spec'],
  { taken, taken6 }: { readonly taken: readonly string[]; readonly taken6: readonly string[] },
): NetworkRecord {
  const seed = host.layout.seed(projectName, spec.name)
  const subnet = spec.subnet ?? chooseSubnet({ taken })
  return {
    spec,
    subnet,
    gateway: spec.gateway ?? gatewayOf(subnet),
    bridge: spec.bridge ?? bridgeName(seed),
    leases: {},
    ...(spec.ipv6 === undefined ? {} : { ipv6: describe6(spec.ipv6, seed, taken6) }),
  }
}

function describe6(
  { subnet: declared, gateway }: NonNullable<NetworkRecord['spec']['ipv6']>,
  seed: string,
  taken: readonly string[],
): NonNullable<NetworkRecord['ipv6']> {
  const subnet = declared ?? chooseSubnet6(seed, taken)
  return { subnet, gateway: gateway ?? gateway6Of(subnet), leases: {} }
}

function failureOf(error: unknown): PakError {
  const outcome = expected(error)
  if (outcome === null) throw error
  return outcome
}
