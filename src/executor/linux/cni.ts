import { PakError } from '../../errors.ts'
import { remaining } from '../../model/attachments.ts'
import type { JsonObject } from '../../model/cni.ts'
import type { Attachment } from '../../model/desired.ts'
import { pluginsReceiver } from '../../model/receiver.ts'
import { capabilitiesOf } from '../../network/cni/capabilities.ts'
import { addAttachment, type CniChain, deleteAttachment } from '../../network/cni/chain.ts'
import { hostDoor } from '../../network/cni/door.ts'
import type { CniAttachment } from '../../network/cni/request.ts'
import { parseResult } from '../../network/cni/result.ts'
import { doorOf, openDoors, withDoor } from './cni-doors.ts'
import { netnsToUndo } from './cni-netns.ts'
import { inTurn, lookKey } from './cni-state.ts'
import { peersOf } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { rewriteNames } from './name-files.ts'
import { keepNetns, netnsPath } from './netns.ts'
import type { CniRecord, ContainerRecord, NetworkRecord } from './records.ts'

/** Interfaces of a container that plugins make, each with its network. */
export function cniEndsOf(
  host: LinuxHost,
  project: string,
  record: ContainerRecord,
): readonly CniEnd[] {
  const networks = networksFor(host, project)
  const here = new Set(remaining(record.spec, record))
  return peersOf(record, networks).flatMap(({ attachment, peer }) => {
    const network = networks.get(attachment.network)
    const isCni = network?.spec.cni !== undefined && here.has(attachment)
    return isCni ? [{ attachment, network, ifname: peer }] : []
  })
}

export interface CniEnd {
  readonly attachment: Attachment
  readonly network: NetworkRecord
  readonly ifname: string
}

interface Running {
  readonly record: ContainerRecord
  readonly pid: number
}

/** Have plugins make all the interfaces of a container that it does not have yet. Undoes nothing: see `leaveCni`. */
export async function joinCni(host: LinuxHost, project: string, at: Running): Promise<void> {
  const { id } = at.record
  const ends = cniEndsOf(host, project, at.record)
  if (ends.length === 0) return
  await inTurn(host, id, async () => {
    await keepNetns(host, at)
    for (const end of ends) {
      const { name } = end.network.spec
      if (now(host, id)?.cni?.[name]?.whole !== true) await addOne(host, project, { id, end })
      host.cni.looks.delete(lookKey(id, name))
    }
    const record = now(host, id)
    if (record !== null) await rewriteNames(host, project, record)
  })
}

/** The same once more, with what they are told now, for these networks of a running container. */
export async function rejoinCni(
  host: LinuxHost,
  project: string,
  { networks, ...at }: Running & { readonly networks: readonly string[] },
): Promise<void> {
  if (networks.length === 0) return
  await inTurn(host, at.record.id, async () => {
    await keepNetns(host, at)
    await leaveNow(host, at.record.id, networks)
  })
  await joinCni(host, project, at)
}

/**
 * Have plugins undo what they have done for a container, in the reverse order, to the end. What could not be
 * undone stays written down, and is tried again with the next release. Throws what they said.
 */
export async function leaveCni(host: LinuxHost, id: string): Promise<void> {
  if (Object.keys(now(host, id)?.cni ?? {}).length === 0) return
  await inTurn(host, id, () => leaveNow(host, id, null))
}

async function leaveNow(
  host: LinuxHost,
  id: string,
  only: readonly string[] | null,
): Promise<void> {
  const found = host.records.find(id)
  if (found === null) return
  const { project, record } = found
  const there = Object.entries(record.cni ?? {}).reverse()
  const failures: PakError[] = []
  for (const [network, attached] of there) {
    if (only !== null && !only.includes(network)) continue
    try {
      await leaveOne(host, { project, record }, { network, attached })
    } catch (error) {
      if (!(error instanceof PakError)) throw error
      failures.push(error)
    }
  }
  const [first] = failures
  if (first !== undefined) throw first
}

async function leaveOne(
  host: LinuxHost,
  { project, record }: { readonly project: string; readonly record: ContainerRecord },
  { network, attached }: { readonly network: string; readonly attached: CniRecord },
): Promise<void> {
  const found = networksFor(host, project).get(network)
  if (found !== undefined) {
    const chain = chainOf(host, found)
    const netns = await netnsToUndo(host, record.id, { chain: chain.network, attached })
    const attachment = { ...asked(host, { project, record, attached }), netns }
    await deleteAttachment(chain, attachment, attached.result)
  }
  await change(host, project, record.id, (before) => without(before, network))
  host.cni.looks.delete(lookKey(record.id, network))
}

/** What plugins are told of a network. */
export function chainOf(host: LinuxHost, { spec, cni }: NetworkRecord): CniChain {
  if (spec.cni === undefined || cni === undefined)
    throw new PakError('network', `network \`${spec.name}\`: no plugins make it`)
  return { network: { ...spec.cni, name: cni.name }, door: hostDoor(host.kernel) }
}

/** One container's place on a network, as all calls for it name it. */
export function asked(
  host: LinuxHost,
  { project, record, attached }: { project: string; record: ContainerRecord; attached: CniRecord },
): CniAttachment {
  const { ifname, capabilities } = attached
  const { id: container, name } = record
  return {
    container,
    label: { project, name },
    netns: netnsPath(host, container),
    ifname,
    capabilities,
  }
}

async function addOne(
  host: LinuxHost,
  project: string,
  { id, end }: { readonly id: string; readonly end: CniEnd },
): Promise<void> {
  const { network, ifname } = end
  const { name } = network.spec
  const record = now(host, id)
  if (record === null) throw new PakError('conflict', `attach to network \`${name}\`: it is gone`)
  const chain = chainOf(host, network)
  const capabilities = toldOf(host, project, { record, end })
  const begun: CniRecord = { ifname, capabilities, result: null, whole: false, door: null }
  await change(host, project, id, (before) => withRecord(before, name, begun))
  const links = new Set(await host.kernel.list('/sys/class/net'))
  const told = (result: JsonObject) =>
    change(host, project, id, (before) => withRecord(before, name, { ...begun, result }))
  try {
    await addAttachment(chain, asked(host, { project, record, attached: begun }), told)
  } catch (error) {
    throw await undone(host, { id, name }, error)
  }
  await settleOne(host, project, { id, network, links })
}

/** Why it failed, with what of it could not be undone either. */
async function undone(
  host: LinuxHost,
  { id, name }: { readonly id: string; readonly name: string },
  why: unknown,
): Promise<unknown> {
  try {
    await leaveNow(host, id, [name])
    return why
  } catch (error) {
    if (!(error instanceof PakError && why instanceof PakError)) throw error
    return new PakError(why.code, `${why.message}; and then ${error.message}`)
  }
}

/** Every plugin has done its part: what came of it is the container's address, and maybe a bridge. */
async function settleOne(
  host: LinuxHost,
  project: string,
  at: { readonly id: string; readonly network: NetworkRecord; readonly links: ReadonlySet<string> },
): Promise<void> {
  const { name } = at.network.spec
  const result = now(host, at.id)?.cni?.[name]?.result ?? {}
  const { ips, hostLinks } = parseResult(result)
  const door = await doorOf(host, { ips, hostLinks })
  const found = hostLinks.filter((link) => !at.links.has(link))
  await rememberNetwork(host, project, { network: name, found, door })
  const four = ips.find(({ address }) => !address.includes(':'))?.address
  const six = ips.find(({ address }) => address.includes(':'))?.address
  await change(host, project, at.id, (before) => {
    const attached = before.cni?.[name]
    if (attached === undefined) return before
    return {
      ...withRecord(before, name, { ...attached, whole: true, door }),
      addresses: { ...before.addresses, ...(four === undefined ? {} : { [name]: four }) },
      addresses6: { ...before.addresses6, ...(six === undefined ? {} : { [name]: six }) },
    }
  })
}

/** What came with its container: a bridge, which no plugin takes away again, and where it asks for names. */
async function rememberNetwork(
  host: LinuxHost,
  project: string,
  at: {
    readonly network: string
    readonly found: readonly string[]
    readonly door: CniRecord['door']
  },
): Promise<void> {
  const isBridge = await Promise.all(
    at.found.map((link) => host.kernel.exists(`/sys/class/net/${link}/bridge`)),
  )
  const made = at.found.filter((_, index) => isBridge[index])
  const links = new Set(await host.kernel.list('/sys/class/net'))
  // From here on nobody else comes between: several containers get theirs at a time.
  const record = host.records.peek(project)?.networks.get(at.network)
  if (record?.cni === undefined) return
  const bridges = [...new Set([...record.cni.bridges, ...made])].sort()
  const doors = withDoor(record.cni.doors, at.door, links)
  const after = { ...record, cni: { ...record.cni, bridges, doors } }
  if (JSON.stringify(after.cni) === JSON.stringify(record.cni)) return
  await host.records.putNetwork(project, after)
  await openDoors(host, project, after)
}

function toldOf(
  host: LinuxHost,
  project: string,
  { record, end }: { readonly record: ContainerRecord; readonly end: CniEnd },
): JsonObject {
  const { spec, service, name } = record
  const receiver = receivingCni(host, project, spec)
  const { attachment } = end
  return capabilitiesOf({
    attachment,
    names: [...new Set([name, service, ...attachment.aliases])],
    ports: receiver === attachment.network ? spec.ports : [],
    bandwidth: spec.bandwidth ?? null,
  })
}

/** The network whose plugins publish a container's ports; `null`: pak does it. */
export function receivingCni(
  host: LinuxHost,
  project: string,
  spec: ContainerRecord['spec'],
): string | null {
  const networks = networksFor(host, project)
  return pluginsReceiver(spec, (network) => networks.get(network)?.spec)
}

const now = (host: LinuxHost, id: string): ContainerRecord | null =>
  host.records.find(id)?.record ?? null

async function change(
  host: LinuxHost,
  project: string,
  id: string,
  to: (before: ContainerRecord) => ContainerRecord,
): Promise<void> {
  const before = now(host, id)
  if (before !== null) await host.records.putContainer(project, to(before))
}

const withRecord = (
  before: ContainerRecord,
  network: string,
  attached: CniRecord,
): ContainerRecord => ({ ...before, cni: { ...before.cni, [network]: attached } })

const without = (before: ContainerRecord, network: string): ContainerRecord => ({
  ...before,
  cni: omit(before.cni ?? {}, network),
  addresses: omit(before.addresses, network),
  addresses6: omit(before.addresses6 ?? {}, network),
})

const omit = <T>(all: Readonly<Record<string, T>>, gone: string): Readonly<Record<string, T>> =>
  Object.fromEntries(Object.entries(all).filter(([key]) => key !== gone))
