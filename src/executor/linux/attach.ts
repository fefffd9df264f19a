import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import { ipBatch } from '../../kernel/ip.ts'
import { shape } from '../../network/bandwidth.ts'
import {
  attachBatch,
  configure,
  configureAll,
  connect,
  disconnect,
  type Interface,
  type Link,
  macAddress,
} from '../../network/bridge.ts'
import { block6 } from '../../network/ipam6.ts'
import { parseCidr } from '../../network/ipv4.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import { joinCni, rejoinCni } from './cni.ts'
import { brokenNetworks } from './cni-look.ts'
import { type End, endsOf, outwardOf } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { hostEnd } from './networks.ts'
import type { ContainerRecord, NetworkRecord } from './records.ts'
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
  const linked = await link(host, wirings, context)
  const wired = wirings.filter((wiring, index) => linked[index] === null && ownsNetwork(wiring))
  const unshaped = await shapeAll(host, wired)
  const whole = wired.length === 0 || (await configureAll(host.kernel, wired))
  return forEach(wirings, context, async (wiring, index) => {
    const outcome = linked[index]
    if (outcome !== undefined && outcome !== null) throw outcome
    if (unshaped !== null && wiring.spec.bandwidth !== undefined) throw unshaped
    if (!whole && ownsNetwork(wiring)) await configure(host.kernel, wiring.pid, wiring.interfaces)
    const container = created[index]
    if (container !== undefined) await joinCni(host, context.project, container)
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
  const { pid, links, interfaces, spec } = wiring
  if (spec.networkMode.kind !== 'bridge') return
  const made = new Set(await host.kernel.list('/sys/class/net'))
  await connect(
    host.kernel,
    links.filter((link) => !made.has(link.host)),
  )
  await ipBatch(host.kernel, attachBatch(links.filter((link) => made.has(link.host))))
  await configure(host.kernel, pid, interfaces)
  const unshaped = await shapeAll(host, [wiring])
  if (unshaped !== null) throw unshaped
  const broken = brokenNetworks(host, container.record)
  await rejoinCni(host, projectName, { ...container, networks: broken })
}

/** Give a running container the one interface that its record has on a network; the others are not touched. */
export async function wireTo(
  host: LinuxHost,
  at: { readonly project: string; readonly network: string },
  container: Created,
): Promise<void> {
  const networks = networksFor(host, at.project)
  const wiring = wiringOf(host, container, networks)
  const index = endsOf(container.record, networks).findIndex(
    ({ network }) => network.spec.name === at.network,
  )
  const [link, own] = [wiring.links[index], wiring.interfaces[index]]
  if (link === undefined || own === undefined)
    throw new PakError('conflict', `connect \`${container.record.name}\`: the network is gone`)
  await connect(host.kernel, [link])
  try {
    await configure(host.kernel, wiring.pid, [own])
    const unshaped = await shapeAll(host, [{ ...wiring, links: [link] }])
    if (unshaped !== null) throw unshaped
  } catch (error) {
    await disconnect(host.kernel, [link.host])
    throw error
  }
}

/** Take an interface away; where it had the default route, another gets it. */
export async function unwire(host: LinuxHost, project: string, gone: Gone): Promise<void> {
  const { record, pid, network } = gone
  await disconnect(host.kernel, [hostEnd(host, record, { network, pid })])
  const { interfaces } = wiringOf(host, { record, pid }, networksFor(host, project))
  const outward = interfaces.filter(
    ({ gateway, ipv6 }) => gateway !== null || typeof ipv6?.gateway === 'string',
  )
  if (outward.length > 0) await configure(host.kernel, pid, outward)
}

/** `record`: as it is without the network. */
interface Gone extends Created {
  readonly network: string
}

/** Why rates cannot be bounded; `null`: they are. */
async function shapeAll(host: LinuxHost, wirings: readonly Wiring[]): Promise<PakError | null> {
  const shaped = wirings.flatMap(({ pid, links, spec: { bandwidth } }) =>
    bandwidth === undefined ? [] : [{ pid, bandwidth, ends: links }],
  )
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
    )
    return wirings.map(() => null)
  } catch (error) {
    if (!(error instanceof PakError)) throw error
    if (wirings.length === 1) return [error]
  }
  return forEach(wirings, { ...context, concurrency: 1 }, async ({ links }) => {
    const made = new Set(await host.kernel.list('/sys/class/net'))
    await connect(
      host.kernel,
      links.filter(({ host: name }) => !made.has(name)),
    )
  })
}

interface Wiring {
  readonly pid: number
  /** For the lines of `ip -batch`, in the bundle. */
  readonly file: string
  readonly spec: ContainerRecord['spec']
  readonly links: readonly Link[]
  readonly interfaces: readonly Interface[]
}

function wiringOf(
  host: LinuxHost,
  { record, pid }: Created,
  networks: ReadonlyMap<string, NetworkRecord>,
): Wiring {
  const ends = endsOf(record, networks)
  const outward = outwardOf(ends)
  return {
    pid,
    file: join(host.layout.bundle(record.id), 'interfaces'),
    spec: record.spec,
    links: ends.map(({ network, address, attachment, peer }) => ({
      host: hostEnd(host, record, { network: network.spec.name, pid }),
      bridge: network.bridge,
      peer,
      pid,
      mac: attachment.mac ?? macAddress(address),
      isolated: network.spec.isolated ?? false,
      ...sizeOf(network),
    })),
    interfaces: ends.map((end) => ({
      name: end.peer,
      address: end.address,
      prefix: parseCidr(end.network.subnet).prefix,
      gateway: end === outward ? end.network.gateway : null,
      ...sideOf6(end, ends),
    })),
  }
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
  return { ipv6: { address: address6, prefix, gateway: end === first ? gateway : null } }
}
