import type { Attachment, Network, Service } from '../model/desired.ts'
import { isBridged, isLan } from '../model/network-kind.ts'
import type { ObservedNetwork, ObservedState } from '../model/observed.ts'
import type {
  FieldChange,
  FirewallArgs,
  PlannedPolicies,
  PlannedPublication,
  Reason,
} from '../model/plan.ts'
import {
  type Behind,
  behind,
  byClient,
  type Grounds,
  hasBridge,
  type Member,
  mannerOf,
  membersAt,
  placeText,
  publicationText,
  placesOf as standingOn,
} from './balance.ts'
import { type Batch, endsOf, ranksOf } from './batches.ts'
import { makesWay, type NetworkWork, reachable } from './networks.ts'
import { plannedPolicies, policyTexts } from './policies.ts'
import { asItIs, compareText, MISSING, type Unit } from './unit.ts'

/** What the firewall shall know of the project from some moment on. */
export interface FirewallWork extends FirewallArgs {
  readonly because: Reason
}

export interface FirewallWorks {
  /** Before anything stops or starts; `null`: it is right until then. */
  readonly apply: FirewallWork | null
  /** When all has started; `null`: nothing that this plan starts changes it. */
  readonly admit: FirewallWork | null
  /** After each batch of an update, in order; `null`: nothing changes by it. */
  readonly between?: readonly (FirewallWork | null)[]
}

export interface FirewallSides {
  readonly observed: ObservedState
  readonly networks: readonly NetworkWork[]
  readonly units: readonly Unit[]
  /** `null`: no file says how they are balanced, so it stays as it is. */
  readonly services: readonly Service[] | null
  readonly batches?: readonly Batch[]
}

/** For the whole project one step, and a second one only where what starts joins what runs. */
export function firewallWorks(sides: FirewallSides): FirewallWorks {
  const [before, during, after] = [
    pictureBefore(sides),
    pictureAt(sides, 'during'),
    pictureAt(sides, 'after'),
  ]
  const because = applyReason(sides, before, during)
  const between: (FirewallWork | null)[] = []
  let last = during
  for (let done = 1; done <= (sides.batches?.length ?? 0); done += 1) {
    const picture = pictureAt(sides, 'during', done)
    const moved = movedBetween(last, picture)
    const changed = { kind: 'changed', fields: moved } as const
    between.push(moved.length === 0 ? null : { ...argsOf(picture), because: changed })
    last = picture
  }
  const joined = movedBetween(last, after)
  return {
    between,
    apply: because === null ? null : { ...argsOf(during), because },
    admit:
      joined.length === 0
        ? null
        : { ...argsOf(after), because: { kind: 'changed', fields: joined } },
  }
}

/** What a later moment of the same plan has otherwise. */
const movedBetween = (earlier: Picture, later: Picture): readonly FieldChange[] => [
  ...listChange('networks', earlier.networks, later.networks),
  ...balancingChange(entriesOf(earlier), entriesOf(later)),
  ...listChange('policies', policyTexts(earlier.policies), policyTexts(later.policies)),
]

interface Picture extends Behind {
  readonly networks: readonly string[]
  /** The same as if every container took connections. */
  readonly possible: Behind
  readonly policies: PlannedPolicies | null
}

const argsOf = ({ networks, published, services, policies }: Picture): FirewallArgs => ({
  networks,
  published,
  services,
  ...(policies === null ? {} : { policies }),
})

function pictureBefore({ observed }: FirewallSides): Picture {
  const members = observed.containers.map((one): Member => {
    const { container, spec } = asItIs(one)
    return { container, service: one.service, ...standingOn(spec, one), stand: 'down' }
  })
  const had = new Set(reachable(observed).flatMap(({ services }) => Object.keys(services)))
  const at = {
    grounds: groundsBefore(observed),
    manner: (service: string) => ({ vip: had.has(service), affinity: 'none' as const }),
  }
  const possible = behind(members, { ...at, all: true })
  const networks = observed.networks.flatMap(passing).sort(compareText)
  const policies = observed.firewall.policies?.planned ?? null
  return { networks, ...possible, possible, policies }
}

/** `done`: so many batches have ended. */
function pictureAt(sides: FirewallSides, moment: 'during' | 'after', done = 0): Picture {
  const { observed, networks, units, services, batches = [] } = sides
  const members = membersAt(units, moment, {
    ranks: ranksOf(batches),
    ends: endsOf(batches),
    done,
  })
  const at = {
    grounds: groundsAfter(observed, networks),
    manner: mannerOf(observed, services, members),
  }
  return {
    networks: networksAt(observed, networks, moment === 'during' && batches.length > 0),
    ...behind(members, { ...at, all: false }),
    possible: behind(members, { ...at, all: true }),
    policies: plannedPolicies(observed, services, onBridges(members, at.grounds)),
  }
}

/** Without networks on which the firewall knows no addresses. */
const onBridges = (members: readonly Member[], grounds: Grounds): readonly Member[] => {
  if ([...grounds.values()].every(isBridged)) return members
  const isKnown = ({ network }: Attachment) => hasBridge(grounds, network)
  return members.map(({ spec, connected, ...member }) => ({
    ...member,
    spec: { ...spec, networks: spec.networks.filter(isKnown) },
    connected: connected.filter(isKnown),
  }))
}

const groundsBefore = (observed: ObservedState): Grounds =>
  new Map(reachable(observed).map(({ spec }) => [spec.name, spec]))

function groundsAfter(observed: ObservedState, works: readonly NetworkWork[]): Grounds {
  const declared = works.flatMap(({ name, wanted }) =>
    wanted === null ? [] : [[name, wanted] as const],
  )
  return new Map([...groundsBefore(observed), ...declared])
}

/** While a service is updated batch by batch, its networks that go still have the rest of it. */
function networksAt(
  observed: ObservedState,
  works: readonly NetworkWork[],
  rolling: boolean,
): readonly string[] {
  const names = new Set(observed.networks.flatMap(passing))
  for (const work of works) {
    const { create, wanted } = work
    if (create !== null && (wanted === null || !isLan(wanted))) names.add(work.name)
    else if (work.remove !== null && (!rolling || makesWay(work, works))) names.delete(work.name)
  }
  return [...names].sort(compareText)
}

/** What passes on a LAN does not pass by here. */
const passing = ({ spec }: ObservedNetwork): readonly string[] => (isLan(spec) ? [] : [spec.name])

function applyReason(
  { observed, networks }: FirewallSides,
  before: Picture,
  after: Picture,
): Reason | null {
  const fields = pictureChanges(before, after)
  if (observed.record === null && fields.length > 0) return MISSING
  if (fields.length > 0) return { kind: 'changed', fields }
  // Same names and ports, but other addresses behind them.
  const anew = networks.find(({ remove, create }) => remove !== null && create !== null)
  if (anew !== undefined && anew.remove !== null) return anew.remove
  const regrouped = networks.find(
    ({ create, wanted, observed: before }) => create !== null && !samePeers(wanted, before?.spec),
  )
  if (regrouped !== undefined && regrouped.create !== null) return regrouped.create
  const fact = driftFact(observed, before, after)
  if (fact !== null) return { kind: 'drift', fact }
  const balancing = balancingChange(seenEntries(observed), entriesOf(after))
  return balancing.length === 0 ? null : { kind: 'changed', fields: balancing }
}

/** Only they may send frames of the network. */
const samePeers = (a: Network | null, b: Network | undefined): boolean =>
  JSON.stringify(a?.overlay?.peers ?? []) === JSON.stringify(b?.overlay?.peers ?? [])

function pictureChanges(before: Picture, after: Picture): readonly FieldChange[] {
  const ports = ({ possible }: Picture) =>
    possible.published.map((entry) => {
      const fixed = entry.ipv4 === null ? '' : ` ${entry.ipv4}`
      return `${publicationText({ ...entry, affinity: 'none' })} (${entry.network}${fixed})`
    })
  const services = ({ possible }: Picture) =>
    possible.services.map(({ service, network }) => `${service} on ${network}`)
  return [
    ...listChange('networks', before.networks, after.networks),
    ...listChange('ports', ports(before), ports(after)),
    ...listChange('addresses', services(before), services(after)),
    ...listChange('policies', policyTexts(before.policies), policyTexts(after.policies)),
  ]
}

/** Where something is reached, and who is behind it: `place -> container`. */
type Entries = readonly { readonly place: string; readonly text: string }[]

const entriesOf = ({ published, services }: Behind): Entries => [
  ...published.map(portEntry),
  ...services.flatMap(({ targets, ...address }) =>
    targets.map(({ container }) => addressEntry({ ...address, container })),
  ),
]

const seenEntries = ({ firewall }: ObservedState): Entries => [
  ...firewall.published.map(portEntry),
  ...firewall.services.flatMap(({ containers, ...address }) =>
    containers.map((container) => addressEntry({ ...address, container })),
  ),
]

const portEntry = (
  entry: Omit<PlannedPublication, 'container' | 'network' | 'ipv4'> & {
    readonly container: string | null
  },
) => ({ place: placeText(entry), text: publicationText(entry) })

function addressEntry(address: {
  readonly service: string
  readonly network: string
  readonly affinity: PlannedPublication['affinity']
  readonly container: string | null
}) {
  const place = `${address.service} on ${address.network}`
  const text = `${place} -> ${address.container ?? 'nobody'}${byClient(address.affinity)}`
  return { place, text }
}

/** Who of those that may be behind something is. No drift: replicas come and go. */
function balancingChange(from: Entries, to: Entries): readonly FieldChange[] {
  const texts = (entries: Entries) => entries.map(({ text }) => text).sort(compareText)
  return listChange('balancing', texts(from), texts(to))
}

/** Only what left and what came, so that a reason stays readable in a large project. */
function listChange(
  path: string,
  before: readonly string[],
  after: readonly string[],
): readonly FieldChange[] {
  const was = new Set(before)
  const is = new Set(after)
  const from = before.filter((item) => !is.has(item))
  const to = after.filter((item) => !was.has(item))
  return from.length + to.length === 0 ? [] : [{ path, from, to }]
}

function driftFact(observed: ObservedState, before: Picture, after: Picture): string | null {
  const { networks } = observed.firewall
  const [seen, expected] = [seenEntries(observed), entriesOf(after)]
  const [there, places] = [placesOf(seen), placesOf(expected)]
  // A replica that leaves with this plan was rightly there.
  const known = [...entriesOf(before.possible), ...entriesOf(after.possible)]
  const possible = new Set(known.map(({ text }) => bare(text)))
  const lost = expected.filter(({ place }) => !there.has(place))
  const strays = seen.filter(({ place, text }) => !places.has(place) || !possible.has(bare(text)))
  const unknown = missingFact('the firewall does not know network', after.networks, networks)
  const unforwarded = factOf('not forwarded:', lost.map(({ text }) => text).sort(compareText))
  const { fault } = observed.firewall
  // What follows from it is not told again.
  if (fault !== undefined && (unknown ?? unforwarded) !== null) return `firewall: ${fault}`
  const facts = [
    unknown,
    missingFact('the firewall knows a network that is not there:', networks, after.networks),
    after.networks.length === 0 ? null : factOf('dropped by chain', observed.firewall.closed),
    isWhole(observed) ? null : 'the policies were not in force',
    unforwarded,
    factOf('forwarded, but not published:', strays.map(({ text }) => text).sort(compareText)),
  ].filter((fact) => fact !== null)
  return facts.length === 0 ? null : facts.join('; ')
}

const isWhole = ({ firewall: { policies } }: ObservedState): boolean => policies?.whole !== false

const placesOf = (entries: Entries): ReadonlySet<string> =>
  new Set(entries.map(({ place }) => place))

/** How a connection finds its replica is a setting, not who may be found. */
const bare = (text: string): string => text.replace(/ by client$/, '')

function missingFact(
  words: string,
  items: readonly string[],
  elsewhere: readonly string[],
): string | null {
  const there = new Set(elsewhere)
  return factOf(
    words,
    items.filter((item) => !there.has(item)),
  )
}

const factOf = (words: string, items: readonly string[]): string | null =>
  items.length === 0 ? null : `${words} ${items.join(', ')}`
