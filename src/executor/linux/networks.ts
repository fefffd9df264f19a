import { withHostLock } from '../../kernel/host-lock.ts'
import { ipBatch } from '../../kernel/ip.ts'
import { staysAlive } from '../../kernel/process.ts'
import { isBridged, isLan } from '../../model/network-kind.ts'
import type { StepOf } from '../../model/plan.ts'
import {
  allowForwarding,
  attachBatch,
  bridgeName,
  createBridges,
  linkGroup,
  removeBridges,
} from '../../network/bridge.ts'
import { chooseSubnet, gatewayOf, hostRoutes } from '../../network/ipam.ts'
import { block6, chooseSubnet6, gateway6Of, hostRoutes6 } from '../../network/ipam6.ts'
import { parseCidr } from '../../network/ipv4.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { rewire } from './attach.ts'
import { failureOf, forEach } from './batch.ts'
import { clearCniNetwork, createCniNetwork } from './cni-networks.ts'
import type { LinuxHost } from './host.ts'
import { hostEnd } from './host-ends.ts'
import { everyServiceAddress, guestsOf } from './joined.ts'
import { orphanedParents, raiseParents, withParent } from './lan.ts'
import type { NetworkRecord } from './records.ts'
import { mtuOf, openTunnels, tunnelLines, withTunnel } from './tunnels.ts'

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
    if (args.network.cni !== undefined) return createCniNetwork(host, context.project, args.network)
    const { networks } = await host.records.of(context.project)
    const known = networks.get(args.network.name)
    const described =
      known === undefined
        ? describe(host, context.project, args.network, { taken, taken6 })
        : { ...known, spec: args.network }
    const record = await withParent(host, await withTunnel(host, context.project, described))
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
  await Promise.all(
    records.map((record) => {
      // Leases may have been taken since it was read.
      const now = networks.get(record.spec.name)
      return host.records.putNetwork(projectName, { ...(now ?? record), spec: record.spec })
    }),
  )
  try {
    await raiseParents(host, records)
    const bridged = records.filter(({ spec }) => isBridged(spec))
    if (bridged.length > 0) await allowForwarding(host.kernel)
    await createBridges(
      host.kernel,
      bridged.map((record) => ({
        name: record.bridge,
        gateway: record.gateway,
        prefix: parseCidr(record.subnet).prefix,
        services: everyServiceAddress(record),
        ...bridgeOptions(record),
      })),
      await tunnelLines(host, records),
    )
    await openTunnels(host, records)
    return null
  } catch (error) {
    const parents = await orphanedParents(host, projectName, added)
    await removeBridges(host.kernel, [...added.flatMap(linksOf), ...parents])
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
  const records = steps.flatMap(({ args }) => networks.get(args.network) ?? [])
  try {
    const parents = await orphanedParents(host, context.project, records)
    await removeBridges(host.kernel, [...records.flatMap(linksOf), ...parents])
  } catch (error) {
    const failure = failureOf(error)
    return steps.map(() => failure)
  }
  return forEach(steps, context, async ({ args }) => {
    const record = networks.get(args.network)
    if (record?.cni !== undefined) await clearCniNetwork(host, record)
    await host.records.drop(context.project, 'networks', args.network)
  })
}

/** What goes with a network. Of a LAN's link see `orphanedParents`, of what plugins made `clearCniNetwork`. */
const linksOf = ({ spec, bridge, tunnel }: NetworkRecord): readonly string[] =>
  isBridged(spec)
    ? [bridge, tunnel?.device, tunnel?.wireguard].filter((name) => name !== undefined)
    : []

/**
 * A bridge that was deleted and made anew: what ran on it hangs in the air until it is put back. With a
 * LAN's link went all that hung on it, and is made again.
 */
async function reattach(
  host: LinuxHost,
  projectName: string,
  networks: readonly NetworkRecord[],
): Promise<void> {
  for (const { spec } of networks.filter((network) => isLan(network.spec)))
    for (const { project, record } of guestsOf(host, projectName, spec.name))
      if (record.run !== null && staysAlive(host.kernel, record.run))
        await rewire(host, project, { record, pid: record.run.pid })
  const bridged = networks.filter(({ spec }) => isBridged(spec))
  const wanted = bridged.flatMap(({ spec, bridge }) =>
    guestsOf(host, projectName, spec.name).flatMap(({ record, called }) =>
      record.run === null
        ? []
        : {
            host: hostEnd(host, record, { network: called, pid: record.run.pid }),
            bridge,
            group: linkGroup(record.addresses[called] ?? ''),
            isolated: spec.isolated ?? false,
          },
    ),
  )
  if (wanted.length === 0) return
  const links = new Set(await host.kernel.list('/sys/class/net'))
  await ipBatch(host.kernel, attachBatch(wanted.filter((link) => links.has(link.host))))
}

/** What of a network's bridge is only there where it is declared. */
function bridgeOptions(record: NetworkRecord) {
  const mtu = mtuOf(record)
  const { ipv6 } = record
  return {
    ...(mtu === undefined ? {} : { mtu }),
    ...(ipv6 === undefined
      ? {}
      : { ipv6: { gateway: ipv6.gateway, prefix: block6(ipv6.subnet).prefix } }),
  }
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
  return projects.flatMap(({ networks }) =>
    [...networks.values()].flatMap(({ subnet, cni }) => (cni === undefined ? subnet : [])),
  )
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
    bridge: spec.bridge ?? spec.lan?.parent ?? bridgeName(seed),
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
