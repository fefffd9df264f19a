import type { ContainerSpec } from '../model/desired.ts'
import { containerId, groupBy, type Unit, type Wanted } from './unit.ts'

/** Steps that end a container, by what it holds until then. */
export interface Holders {
  readonly byName: ReadonlyMap<string, readonly string[]>
  readonly byAddress: ReadonlyMap<string, readonly string[]>
  /** Only of containers that go for good: a successor of its own waits for its predecessor anyway. */
  readonly byVolume: ReadonlyMap<string, readonly string[]>
  readonly onHost: readonly string[]
}

export function holdersOf(units: readonly Unit[]): Holders {
  const removed = units.flatMap((unit) => {
    const { observed, tasks } = unit
    return observed === null || tasks.remove === undefined ? [] : [{ unit, observed }]
  })
  const remove = ({ unit }: { readonly unit: Unit }) => containerId('remove', unit)
  const gone = removed.filter(({ unit }) => unit.wanted === null)
  return {
    byName: index(removed, ({ observed }) => [observed.name], remove),
    byAddress: index(
      removed,
      ({ observed }) => Object.entries(observed.addresses).map(join),
      remove,
    ),
    byVolume: index(gone, ({ observed }) => volumeNames(observed.spec), stopOf),
    onHost: gone.filter(({ observed }) => observed.spec.networkMode.kind === 'host').map(stopOf),
  }
}

const join = (parts: readonly string[]): string => parts.join(' ')

const stopOf = ({ unit }: { readonly unit: Unit }): string => containerId('stop', unit)

function index<T>(
  items: readonly T[],
  keys: (item: T) => readonly string[],
  id: (item: T) => string,
): ReadonlyMap<string, readonly string[]> {
  const pairs = items.flatMap((item) => keys(item).map((key) => ({ key, id: id(item) })))
  const groups = groupBy(pairs, ({ key }) => key)
  return new Map([...groups].map(([key, group]) => [key, group.map((pair) => pair.id)]))
}

/** Containers that have to go first: its own predecessor, and whoever has its name or its address. */
export function obstacles(
  unit: Unit,
  { container, spec }: Wanted,
  holders: Holders,
): readonly string[] {
  const fixed = spec.networks.flatMap(({ network, ipv4 }) =>
    ipv4 === null ? [] : [[network, ipv4]],
  )
  return [
    containerId('remove', unit),
    ...(holders.byName.get(container) ?? []),
    ...fixed.flatMap((address) => holders.byAddress.get(join(address)) ?? []),
  ]
}

/** Two databases on one volume, or two servers on one port of the host: the one that leaves goes first. */
export function rivals({ spec }: Wanted, holders: Holders): readonly string[] {
  const onHost = spec.networkMode.kind === 'host' ? holders.onHost : []
  return [...onHost, ...volumeNames(spec).flatMap((name) => holders.byVolume.get(name) ?? [])]
}

export const volumeNames = (spec: ContainerSpec): readonly string[] =>
  spec.mounts.flatMap((mount) => (mount.kind === 'volume' && mount.volume ? [mount.volume] : []))
