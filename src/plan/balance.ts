import { type ByHand, remaining } from '../model/attachments.ts'
import type {
  Affinity,
  Attachment,
  ContainerSpec,
  PublishedPort,
  Service,
} from '../model/desired.ts'
import { isBridged } from '../model/network-kind.ts'
import type { ObservedState } from '../model/observed.ts'
import { isOneOff } from '../model/one-off.ts'
import type { PlannedPublication, PlannedServiceAddress } from '../model/plan.ts'
import { hostText } from '../model/port.ts'
import { type Ground, receiverOf } from '../model/receiver.ts'
import { takesTraffic } from '../model/traffic.ts'
import { placeOf, type Ranks } from './batches.ts'
import { reachable } from './networks.ts'
import { asItIs, compareText, groupBy, type Unit } from './unit.ts'

/** `during`: from before the first container stops; `after`: when all that starts has started. */
export type Moment = 'during' | 'after'

/** What is known of networks, by name. */
export type Grounds = ReadonlyMap<string, Ground>

/** One that is not known is taken for a bridge. */
export function hasBridge(grounds: Grounds, network: string): boolean {
  const ground = grounds.get(network)
  return ground === undefined || isBridged(ground)
}

/** Who is behind the published ports and the addresses of services. Sorted. */
export interface Behind {
  readonly published: readonly PlannedPublication[]
  readonly services: readonly PlannedServiceAddress[]
}

/** A container that may be behind something. */
export interface Member {
  readonly container: string
  readonly service: string
  /** With only those of its networks that it is still on. */
  readonly spec: ContainerSpec
  /** Networks that a user has put it on. */
  readonly connected: readonly Attachment[]
  readonly stand: Stand
}

/** `fit` takes new connections; what only runs gets them where nobody is fit. */
export type Stand = 'fit' | 'runs' | 'down'

/** How a service's connections are spread, as the file or, without one, the host has it. */
export interface Manner {
  readonly vip: boolean
  readonly affinity: Affinity
}

/** The containers that are there after the plan, and whether they take connections at that moment. */
export function membersAt(
  units: readonly Unit[],
  moment: Moment,
  update: UpdateStage = NOTHING_ROLLS,
): readonly Member[] {
  return units.flatMap((unit) => {
    if (unit.wanted === null || hasLeft(unit, moment, update)) return []
    const { service, observed } = unit
    const stage = stageOf(unit, moment, update)
    // Until its batch it is what it was.
    const old = stage === 'ahead' && observed !== null
    const { container, spec } = old ? asItIs(observed) : unit.wanted
    const stand = standIn(stage, unit, moment)
    return [{ container, service, ...placesOf(spec, old ? observed : handOf(unit)), stand }]
  })
}

/** How far a rolling update is: so many of its batches have ended. */
export interface UpdateStage {
  readonly ranks: Ranks
  /** By service: the batch that is its last. */
  readonly ends: ReadonlyMap<string, number>
  readonly done: number
}

const NOTHING_ROLLS: UpdateStage = { ranks: new Map(), ends: new Map(), done: 0 }

/** It stood in for others, who are there by then. */
const hasLeft = ({ service, surge }: Unit, moment: Moment, { ends, done }: UpdateStage): boolean =>
  surge !== undefined && (moment === 'after' || done >= (ends.get(service) ?? 0))

/** `updated`: its batch has shown that it works; `ahead`: its batch is not even next; `null`: does not matter. */
function stageOf(
  unit: Unit,
  moment: Moment,
  { ranks, done }: UpdateStage,
): 'updated' | 'ahead' | null {
  const rank = ranks.get(placeOf(unit))
  if (rank === undefined) return null
  if (moment === 'after' || rank <= done) return 'updated'
  return rank > done + 1 ? 'ahead' : null
}

function standIn(stage: ReturnType<typeof stageOf>, unit: Unit, moment: Moment): Stand {
  if (stage === 'updated') return 'fit'
  const { wanted } = unit
  if (wanted === null) return 'down'
  return standOf(stage === 'ahead' ? { ...unit, tasks: {} } : unit, wanted.spec, moment)
}

/** What a user did to its networks goes with a container that is made anew. */
const handOf = ({ observed, tasks }: Unit): ByHand =>
  observed === null || tasks.create !== undefined ? {} : observed

export const placesOf = (
  spec: ContainerSpec,
  hand: ByHand,
): Pick<Member, 'spec' | 'connected'> => ({
  spec: { ...spec, networks: remaining(spec, hand) },
  connected: hand.connected ?? [],
})

function standOf({ observed, tasks }: Unit, spec: ContainerSpec, moment: Moment): Stand {
  // A check that nobody has run yet has not said yes: a later plan lets it in.
  if (moment === 'after' && tasks.start !== undefined)
    return spec.healthcheck === null ? 'fit' : 'runs'
  const leaves = tasks.stop ?? tasks.remove ?? tasks.kill ?? tasks.pause
  if (observed === null || leaves !== undefined || observed.status.state !== 'running')
    return 'down'
  return takesTraffic(observed) ? 'fit' : 'runs'
}

/** Which services have an address of their own, and how their connections find a replica. */
export function mannerOf(
  observed: ObservedState,
  services: readonly Service[] | null,
  members: readonly Member[],
): (service: string) => Manner {
  const declared = new Map((services ?? []).map((service) => [service.name, service]))
  const had = new Set(reachable(observed).flatMap((network) => Object.keys(network.services)))
  const replicas = groupBy(
    members.filter(({ spec }) => !isOneOff(spec)),
    ({ service }) => service,
  )
  return (name) => {
    const service = declared.get(name)
    if (service === undefined)
      return { vip: had.has(name), affinity: observedAffinity(observed, name) }
    // Down to one replica it keeps its address: connections to it are still there.
    const several =
      (replicas.get(name)?.length ?? 0) > 1 ||
      had.has(name) ||
      service.update?.order === 'start-first'
    const mode = service.endpointMode ?? (several ? 'vip' : 'dnsrr')
    // What an earlier version has kept of a file says nothing of it.
    return { vip: mode === 'vip', affinity: service.affinity ?? 'none' }
  }
}

function observedAffinity({ containers, firewall }: ObservedState, service: string): Affinity {
  const names = new Set(containers.flatMap((one) => (one.service === service ? one.name : [])))
  const sticky = [
    ...firewall.published.filter(({ container }) => container !== null && names.has(container)),
    ...firewall.services.filter((address) => address.service === service),
  ].some(({ affinity }) => affinity === 'client_ip')
  return sticky ? 'client_ip' : 'none'
}

/** `all`: as if every member took connections. */
export function behind(
  members: readonly Member[],
  at: {
    readonly grounds: Grounds
    readonly manner: (service: string) => Manner
    readonly all: boolean
  },
): Behind {
  const pick = at.all ? <T>(list: readonly T[]) => list : fittest
  return {
    published: publications(members, at.grounds)
      .flatMap((group) => {
        const picked = pick(group)
        return picked.map(({ entry, member }): PlannedPublication => {
          const { affinity } = at.manner(member.service)
          return { ...entry, affinity: picked.length > 1 ? affinity : 'none' }
        })
      })
      .sort(byText(publicationText)),
    services: addresses(members, at)
      .map(({ service, network, affinity, group }): PlannedServiceAddress => {
        const picked = pick(group)
        const targets = picked
          .map(({ member, ipv4 }) => ({ container: member.container, ipv4 }))
          .sort(byText(({ container }) => container))
        const reserved = declaredIn(members, network)
        const chosen = targets.length > 1 ? affinity : 'none'
        return { service, network, affinity: chosen, targets, reserved }
      })
      .sort(byText(({ service, network }) => `${service} ${network}`)),
  }
}

type Entry = Omit<PlannedPublication, 'affinity'>
interface Candidate {
  readonly member: Member
}

function fittest<T extends Candidate>(group: readonly T[]): readonly T[] {
  for (const wanted of ['fit', 'runs'] as const) {
    const found = group.filter(({ member }) => member.stand === wanted)
    if (found.length > 0) return found
  }
  return group
}

/** By host port: who publishes it. */
function publications(members: readonly Member[], grounds: Grounds) {
  const entries = members.flatMap((member) => {
    const to = receiver(member, grounds)
    // What plugins publish is no business of the firewall's.
    if (to === null || !hasBridge(grounds, to.network)) return []
    const { network, ipv4, ipv6 } = to
    const six = ipv6 === undefined ? {} : { ipv6 }
    return member.spec.ports.map(({ hostIp, published, target, protocol }) => {
      const { container } = member
      const entry: Entry = { container, hostIp, published, target, protocol, network, ipv4, ...six }
      return { member, entry }
    })
  })
  return [...groupBy(entries, ({ entry }) => placeText(entry)).values()]
}

function receiver({ spec, connected }: Member, grounds: Grounds): Attachment | null {
  const name = receiverOf({ ...spec, connected }, (network) => grounds.get(network))
  return [...spec.networks, ...connected].find(({ network }) => network === name) ?? null
}

/** Where there is no bridge for them to be on, a name answers with each replica. */
function addresses(
  members: readonly Member[],
  { grounds, manner }: Pick<Parameters<typeof behind>[1], 'grounds' | 'manner'>,
) {
  const attached = members
    .filter(({ spec, service }) => !isOneOff(spec) && manner(service).vip)
    .flatMap((member) =>
      member.spec.networkMode.kind === 'bridge'
        ? member.spec.networks
            .filter(({ network }) => hasBridge(grounds, network))
            .map(({ network, ipv4 }) => ({ member, network, ipv4 }))
        : [],
    )
  const groups = groupBy(attached, ({ member, network }) => `${member.service} ${network}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const { service } = first.member
    return [{ service, network: first.network, affinity: manner(service).affinity, group }]
  })
}

const declaredIn = (members: readonly Member[], network: string): readonly string[] =>
  members
    .flatMap(({ spec, connected }) => [...spec.networks, ...connected])
    .flatMap((on) => (on.network === network && on.ipv4 !== null ? on.ipv4 : []))
    .sort(compareText)

export const placeText = ({
  hostIp,
  published,
  protocol,
}: Pick<PublishedPort, 'hostIp' | 'published' | 'protocol'>): string =>
  `${hostText(hostIp)}:${published}/${protocol}`

export const publicationText = (
  entry: PublishedPort & { readonly container: string | null; readonly affinity?: Affinity },
): string =>
  `${placeText(entry)} -> ${entry.container ?? 'nobody'}:${entry.target}${byClient(entry.affinity)}`

export const byClient = (affinity: Affinity | undefined): string =>
  affinity === 'client_ip' ? ' by client' : ''

const byText =
  <T>(text: (item: T) => string) =>
  (a: T, b: T): number =>
    compareText(text(a), text(b))
