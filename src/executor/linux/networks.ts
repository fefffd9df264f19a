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
  return forEach(steps, { ...context, concurrency: 1 }, async ({ args }) => {
    const { networks } = await host.records.of(context.project)
    const record =
      networks.get(args.network.name) ?? describe(host, context.project, args.network, taken)
    taken.push(record.subnet)
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
        ? { host: hostEnd(host, record, { network: spec.name, pid: record.run.pid }), bridge }
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
          const address = lease({ ...record, ...request, wanted: ipv4 })
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
  for (const name of changed) {
    const record = networks.get(name)
    if (record !== undefined) await host.records.putNetwork(projectName, record)
  }
  return leased
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
  taken: readonly string[],
): NetworkRecord {
  const subnet = spec.subnet ?? chooseSubnet({ taken })
  return {
    spec,
    subnet,
    gateway: spec.gateway ?? gatewayOf(subnet),
    bridge: bridgeName(host.layout.seed(projectName, spec.name)),
    leases: {},
  }
}

function failureOf(error: unknown): PakError {
  const outcome = expected(error)
  if (outcome === null) throw error
  return outcome
}
