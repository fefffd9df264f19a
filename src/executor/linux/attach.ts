import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import { ipBatch } from '../../kernel/ip.ts'
import { isRouted } from '../../model/lan.ts'
import { isBridged, isLan } from '../../model/network-kind.ts'
import { shape } from '../../network/bandwidth.ts'
import {
  attachBatch,
  configure,
  configureAll,
  connect,
  disconnect,
  type Interface,
  type Link,
  linkGroup,
} from '../../network/bridge.ts'
import type { Identity } from '../../network/firewall-antispoof.ts'
import { block6 } from '../../network/ipam6.ts'
import { parseCidr } from '../../network/ipv4.ts'
import { type Child, childBatch } from '../../network/lan.ts'
import { routeBySource, type SourceRoute } from '../../network/source-routes.ts'
import { interfacesOf } from '../../network/view.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import { joinCni, rejoinCni } from './cni.ts'
import { brokenNetworks } from './cni-look.ts'
import { type End, endsOf, identityOf, outwardOf } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { hostEnd } from './host-ends.ts'
import { networksFor } from './joined.ts'
import { childrenOf, missingChildren, sourceRoutesOf, takeChild } from './lan-ends.ts'
import { keepNetns } from './netns.ts'
import { admitIdentities } from './policies.ts'
import type { ContainerRecord, NetworkRecord } from './records.ts'
import { openResolver } from './resolvers.ts'
import { mtuOf } from './tunnels.ts'

interface Created {
  readonly record: ContainerRecord
  readonly pid: number
}

/**
 * Give created containers their interfaces: one `ip` batch for all. When the batch breaks, each
 * container is tried by itself, so that only the guilty one fails.
 */
export async function attachContainers(
  host: LinuxHost,
  created: readonly Created[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const networks = networksFor(host, context.project)
  const wirings = created.map((container) => wiringOf(host, container, networks))
  for (const wiring of wirings) if (wiring.children.length > 0) await keepNetns(host, wiring)
  await admit(host, context.project, wirings)
  const linked = await link(host, wirings, context)
  const wired = wirings.filter((wiring, index) => linked[index] === null && ownsNetwork(wiring))
  const unshaped = await shapeAll(host, wired)
  const whole = wired.length === 0 || (await configureAll(host.kernel, wired))
  return forEach(wirings, context, async (wiring, index) => {
    const outcome = linked[index]
    if (outcome !== undefined && outcome !== null) throw outcome
    if (unshaped !== null && wiring.spec.bandwidth !== undefined) throw unshaped
    if (!whole && ownsNetwork(wiring)) await configure(host.kernel, wiring.pid, wiring.interfaces)
    await routeBySource(host.kernel, wiring.pid, wiring.ways)
    await joinCni(host, context.project, wiring)
    await openResolver(host, context.project, wiring)
  })
}

/** Give a running container back whatever it lacks of its interfaces, addresses and routes. */
export async function rewire(
  host: LinuxHost,
  projectName: string,
  container: Created,
): Promise<void> {
  const networks = networksFor(host, projectName)
  const wiring = wiringOf(host, container, networks)
  const { pid, links, children, interfaces, spec } = wiring
  if (spec.networkMode.kind !== 'bridge') return
  const inside = interfacesOf(host.kernel, pid)
  // One that has another name now is nobody's: it goes, and another one comes.
  const renamed = links.filter(({ peer }) => inside !== null && !inside.has(peer))
  await disconnect(
    host.kernel,
    renamed.map((link) => link.host),
  )
  const made = new Set(await host.kernel.list('/sys/class/net'))
  if (children.length > 0) await keepNetns(host, wiring)
  await admit(host, projectName, [wiring])
  await connect(
    host.kernel,
    links.filter((link) => !made.has(link.host)),
    childBatch(missingChildren(host, children)),
  )
  await ipBatch(host.kernel, attachBatch(links.filter((link) => made.has(link.host))))
  await configure(host.kernel, pid, interfaces)
  await routeBySource(host.kernel, pid, wiring.ways)
  const unshaped = await shapeAll(host, [wiring])
  if (unshaped !== null) throw unshaped
  const broken = brokenNetworks(host, container.record)
  await rejoinCni(host, projectName, { ...container, networks: broken })
  await openResolver(host, projectName, container)
}

/** Give a running container the one interface that its record has on a network; the others are not touched. */
export async function wireTo(
  host: LinuxHost,
  at: { readonly project: string; readonly network: string },
  container: Created,
): Promise<void> {
  const networks = networksFor(host, at.project)
  const wiring = wiringOf(host, container, networks)
  const end = endsOf(container.record, networks).find(
    ({ network }) => network.spec.name === at.network,
  )
  if (end === undefined)
    throw new PakError('conflict', `connect \`${container.record.name}\`: the network is gone`)
  const isOwn = ({ peer }: { readonly peer: string }) => peer === end.peer
  const [links, children] = [wiring.links.filter(isOwn), wiring.children.filter(isOwn)]
  if (children.length > 0) await keepNetns(host, wiring)
  await admit(host, at.project, [wiring])
  await connect(host.kernel, links, childBatch(children))
  try {
    const own = wiring.interfaces.filter(({ name }) => name === end.peer)
    await configure(host.kernel, wiring.pid, own)
    await routeBySource(host.kernel, wiring.pid, wiring.ways)
    const unshaped = await shapeAll(host, [{ ...wiring, links, children }])
    if (unshaped !== null) throw unshaped
  } catch (error) {
    await disconnect(
      host.kernel,
      links.map((link) => link.host),
    )
    for (const { peer } of children) await takeChild(host, wiring.pid, peer)
    throw error
  }
}

/** Take an interface away; where it had the default route, another gets it. */
export async function unwire(host: LinuxHost, project: string, gone: Gone): Promise<void> {
  const { before, record, pid, network } = gone
  const networks = networksFor(host, project)
  await disconnect(host.kernel, [hostEnd(host, record, { network, pid })])
  for (const end of endsOf(before, networks))
    if (end.network.spec.name === network && isLan(end.network.spec))
      await takeChild(host, pid, end.peer)
  const { interfaces } = wiringOf(host, { record, pid }, networks)
  const outward = interfaces.filter(
    ({ gateway, onLink, ipv6 }) =>
      gateway !== null || onLink === true || typeof ipv6?.gateway === 'string',
  )
  if (outward.length > 0) await configure(host.kernel, pid, outward)
}

const admit = (host: LinuxHost, project: string, wirings: readonly Wiring[]): Promise<void> =>
  admitIdentities(
    host,
    project,
    wirings.flatMap(({ identities }) => identities),
  )

/** `record`: as it is without the network. */
interface Gone extends Created {
  readonly before: ContainerRecord
  readonly network: string
}

/** Why rates cannot be bounded; `null`: they are. */
async function shapeAll(host: LinuxHost, wirings: readonly Wiring[]): Promise<PakError | null> {
  const shaped = wirings.flatMap(({ pid, links, children, spec: { bandwidth } }) => {
    const inner = children.map(({ peer }) => ({ host: null, peer }))
    return bandwidth === undefined ? [] : [{ pid, bandwidth, ends: [...links, ...inner] }]
  })
  try {
    await shape(host.kernel, shaped)
    return null
  } catch (error) {
    if (error instanceof PakError) return error
    throw error
  }
}

/** A namespace of its own without a network still wants its loopback. */
const ownsNetwork = ({ spec: { networkMode } }: Wiring): boolean =>
  networkMode.kind === 'bridge' || networkMode.kind === 'none'

async function link(
  host: LinuxHost,
  wirings: readonly Wiring[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  try {
    await connect(
      host.kernel,
      wirings.flatMap(({ links }) => links),
      childBatch(wirings.flatMap(({ children }) => children)),
    )
    return wirings.map(() => null)
  } catch (error) {
    if (!(error instanceof PakError)) throw error
    if (wirings.length === 1) return [error]
  }
  return forEach(wirings, { ...context, concurrency: 1 }, async ({ links, children }) => {
    const made = new Set(await host.kernel.list('/sys/class/net'))
    await connect(
      host.kernel,
      links.filter(({ host: name }) => !made.has(name)),
      childBatch(missingChildren(host, children)),
    )
  })
}

interface Wiring extends Created {
  /** For the lines of `ip -batch`, in the bundle. */
  readonly file: string
  readonly spec: ContainerRecord['spec']
  readonly links: readonly Link[]
  readonly identities: readonly (Identity & { readonly bridge: string })[]
  readonly children: readonly Child[]
  readonly interfaces: readonly Interface[]
  readonly ways: readonly SourceRoute[]
}

function wiringOf(
  host: LinuxHost,
  { record, pid }: Created,
  networks: ReadonlyMap<string, NetworkRecord>,
): Wiring {
  const ends = endsOf(record, networks)
  const outward = outwardOf(ends)
  const bridged = ends.filter(({ network }) => isBridged(network.spec))
  return {
    record,
    pid,
    file: join(host.layout.bundle(record.id), 'interfaces'),
    spec: record.spec,
    links: bridged.map((end) => ({
      host: hostEnd(host, record, { network: end.network.spec.name, pid }),
      bridge: end.network.bridge,
      peer: end.peer,
      pid,
      mac: identityOf(end).mac,
      group: linkGroup(end.address),
      isolated: end.network.spec.isolated ?? false,
      ...sizeOf(end.network),
    })),
    identities: bridged.map((end) => ({ ...identityOf(end), bridge: end.network.bridge })),
    children: childrenOf(ends, pid),
    ways: sourceRoutesOf(ends),
    interfaces: ends.map((end) => ({
      name: end.peer,
      address: end.address,
      prefix: parseCidr(end.network.subnet).prefix,
      ...wayOf(end, outward),
      ...sideOf6(end, ends),
    })),
  }
}

function wayOf(end: End, outward: End | null): Pick<Interface, 'gateway' | 'onLink'> {
  if (end !== outward) return { gateway: null }
  return isRouted(end.network.spec)
    ? { gateway: null, onLink: true }
    : { gateway: end.network.gateway }
}

function sizeOf(network: NetworkRecord): Pick<Link, 'mtu'> {
  const mtu = mtuOf(network)
  return mtu === undefined ? {} : { mtu }
}

function sideOf6(end: End, ends: readonly End[]): Pick<Interface, 'ipv6'> {
  const { network, address6 } = end
  if (network.ipv6 === undefined || address6 === null) return {}
  const { subnet, gateway } = network.ipv6
  const first = outwardOf(ends.filter((other) => other.address6 !== null))
  const { prefix } = block6(subnet)
  return {
    ipv6: {
      address: address6,
      prefix,
      gateway: end === first && !isRouted(network.spec) ? gateway : null,
    },
  }
}
