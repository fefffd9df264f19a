import type { Attachment, ContainerSpec, PublishedPort } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import type { FieldChange, PlannedPublication, Reason } from '../model/plan.ts'
import type { NetworkWork } from './networks.ts'
import { compareText, MISSING, type Unit } from './unit.ts'

/** What the firewall shall know of the project after the plan. */
export interface FirewallWork {
  readonly because: Reason
  readonly networks: readonly string[]
  readonly published: readonly PlannedPublication[]
}

interface Entry extends PublishedPort {
  readonly container: string | null
}

interface Picture {
  readonly networks: readonly string[]
  readonly published: readonly PlannedPublication[]
}

/** One step for the whole project, or `null` when the firewall is and stays right. */
export function firewallWork(
  observed: ObservedState,
  networks: readonly NetworkWork[],
  units: readonly Unit[],
): FirewallWork | null {
  const before: Picture = {
    networks: observed.networks.map(({ spec }) => spec.name).sort(compareText),
    published: publications(observed.containers, internalBefore(observed)),
  }
  const after: Picture = {
    networks: networksAfter(observed, networks),
    published: publications(
      units.flatMap(({ wanted }) =>
        wanted === null ? [] : [{ ...wanted, name: wanted.container }],
      ),
      internalAfter(observed, networks),
    ),
  }
  const fields = pictureChanges(before, after)
  if (observed.record === null && fields.length > 0) return { ...after, because: MISSING }
  if (fields.length > 0) return { ...after, because: { kind: 'changed', fields } }
  // Same names and ports, but other addresses behind them.
  const anew = networks.find(({ remove, create }) => remove !== null && create !== null)
  if (anew !== undefined && anew.remove !== null) return { ...after, because: anew.remove }
  const fact = driftFact(observed, after)
  return fact === null ? null : { ...after, because: { kind: 'drift', fact } }
}

const internalBefore = (observed: ObservedState): ReadonlyMap<string, boolean> =>
  new Map(observed.networks.map(({ spec }) => [spec.name, spec.internal]))

function internalAfter(
  observed: ObservedState,
  works: readonly NetworkWork[],
): ReadonlyMap<string, boolean> {
  const declared = works.flatMap(({ name, wanted }) =>
    wanted === null ? [] : [[name, wanted.internal] as const],
  )
  return new Map([...internalBefore(observed), ...declared])
}

function networksAfter(observed: ObservedState, works: readonly NetworkWork[]): readonly string[] {
  const names = new Set(observed.networks.map(({ spec }) => spec.name))
  for (const work of works) {
    if (work.create !== null) names.add(work.name)
    else if (work.remove !== null) names.delete(work.name)
  }
  return [...names].sort(compareText)
}

function publications(
  containers: readonly { readonly name: string; readonly spec: ContainerSpec }[],
  internal: ReadonlyMap<string, boolean>,
): readonly PlannedPublication[] {
  // Replicas publish one port between them: the first of them receives.
  const taken = new Set<string>()
  const first = ({ hostIp, published, protocol }: PublishedPort): boolean => {
    const place = `${hostIp}:${published}/${protocol}`
    return !taken.has(place) && taken.add(place).size > 0
  }
  return [...containers]
    .sort((a, b) => compareText(a.name, b.name))
    .flatMap(({ name, spec }) => {
      const to = receiver(spec, internal)
      if (to === null) return []
      const { network, ipv4 } = to
      return spec.ports.filter(first).map(({ hostIp, published, target, protocol }) => {
        return { container: name, hostIp, published, target, protocol, network, ipv4 }
      })
    })
    .sort((a, b) => compareText(entryText(a), entryText(b)))
}

function receiver(spec: ContainerSpec, internal: ReadonlyMap<string, boolean>): Attachment | null {
  if (spec.networkMode.kind !== 'bridge') return null
  const attachments = [...spec.networks].sort((a, b) => compareText(a.network, b.network))
  const open = attachments.find(({ network }) => internal.get(network) === false)
  return open ?? attachments[0] ?? null
}

const entryText = (entry: Entry): string =>
  `${entry.hostIp}:${entry.published}/${entry.protocol} -> ${entry.container ?? 'nobody'}:${entry.target}`

function pictureChanges(before: Picture, after: Picture): readonly FieldChange[] {
  const ports = ({ published }: Picture) =>
    published.map((entry) => {
      const fixed = entry.ipv4 === null ? '' : ` ${entry.ipv4}`
      return `${entryText(entry)} (${entry.network}${fixed})`
    })
  return [
    ...listChange('networks', before.networks, after.networks),
    ...listChange('ports', ports(before), ports(after)),
  ]
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

function driftFact(observed: ObservedState, after: Picture): string | null {
  const { networks, published } = observed.firewall
  const seen = published.map(entryText).sort(compareText)
  const expected = after.published.map(entryText)
  const facts = [
    missingFact('the firewall does not know network', after.networks, networks),
    missingFact('the firewall knows a network that is not there:', networks, after.networks),
    missingFact('not forwarded:', expected, seen),
    missingFact('forwarded, but not published:', seen, expected),
  ].filter((fact) => fact !== null)
  return facts.length === 0 ? null : facts.join('; ')
}

function missingFact(
  words: string,
  items: readonly string[],
  elsewhere: readonly string[],
): string | null {
  const there = new Set(elsewhere)
  const missing = items.filter((item) => !there.has(item))
  return missing.length === 0 ? null : `${words} ${missing.join(', ')}`
}
