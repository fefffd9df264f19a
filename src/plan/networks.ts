import type { DesiredState, Network } from '../model/desired.ts'
import type { ObservedNetwork, ObservedState } from '../model/observed.ts'
import type { FieldChange, Reason } from '../model/plan.ts'
import { cniChanges } from './cni.ts'
import { value } from './compare.ts'
import type { Scope } from './scope.ts'
import { compareText, MISSING, ORPHAN, type Unit } from './unit.ts'

/** What happens to one network: both reasons are there when it is made anew. */
export interface NetworkWork {
  readonly name: string
  readonly wanted: Network | null
  readonly observed: ObservedNetwork | null
  readonly remove: Reason | null
  readonly create: Reason | null
}

/** Every network that containers may be on, the project's own first. */
export const reachable = (observed: ObservedState): readonly ObservedNetwork[] => [
  ...observed.networks,
  ...(observed.elsewhere ?? []),
]

/** Declared networks that are missing, broken, or must be made anew because their spec changed. */
export function declaredNetworks(
  desired: DesiredState,
  observed: ObservedState,
  scope: Scope,
): readonly NetworkWork[] {
  const known = new Map(observed.networks.map((network) => [network.spec.name, network]))
  return desired.networks
    .filter(({ name }) => scope.networks.has(name))
    .map((wanted) => declared(wanted, known.get(wanted.name) ?? null))
}

function declared(wanted: Network, observed: ObservedNetwork | null): NetworkWork {
  const at = { name: wanted.name, wanted, observed }
  if (observed === null) return { ...at, remove: null, create: MISSING }
  const fields = networkChanges(wanted, observed)
  if (fields.length > 0) {
    const because: Reason = { kind: 'changed', fields }
    return { ...at, remove: because, create: because }
  }
  const live = [
    ...value(`networks.${wanted.name}.attachable`)(
      observed.spec.attachable ?? false,
      wanted.attachable ?? false,
    ),
    ...value(`networks.${wanted.name}.peers`)(
      observed.spec.overlay?.peers ?? [],
      wanted.overlay?.peers ?? [],
    ),
    ...value('CNI_PATH')(observed.spec.cni?.path ?? [], wanted.cni?.path ?? []),
  ]
  if (live.length > 0) return { ...at, remove: null, create: { kind: 'changed', fields: live } }
  if (observed.drift === null) return { ...at, remove: null, create: null }
  return { ...at, remove: null, create: { kind: 'drift', fact: observed.drift } }
}

/** An address range that the file leaves open is right whatever it is. */
function networkChanges(wanted: Network, observed: ObservedNetwork): readonly FieldChange[] {
  const path = (field: string) => `networks.${wanted.name}.${field}`
  return [
    ...value(path('driver'))(observed.spec.driver, wanted.driver),
    ...(wanted.gateway === null ? [] : value(path('gateway'))(observed.gateway, wanted.gateway)),
    ...value(path('internal'))(observed.spec.internal, wanted.internal),
    ...(wanted.subnet === null ? [] : value(path('subnet'))(observed.subnet, wanted.subnet)),
    ...changes6(path, wanted, observed),
    ...value(path('ip_range'))(observed.spec.ipRange ?? null, wanted.ipRange ?? null),
    ...value(path('aux_addresses'))(observed.spec.auxAddresses ?? {}, wanted.auxAddresses ?? {}),
    ...value(path('mtu'))(observed.spec.mtu ?? null, wanted.mtu ?? null),
    ...value(path('bridge'))(observed.spec.bridge ?? null, wanted.bridge ?? null),
    ...value(path('isolated'))(observed.spec.isolated ?? false, wanted.isolated ?? false),
    ...value(path('overlay'))(ownPart(observed.spec), ownPart(wanted)),
    ...value(path('driver_opts'))(observed.spec.lan ?? null, wanted.lan ?? null),
    ...cniChanges(path('cni'), observed.spec.cni ?? null, wanted.cni ?? null),
  ]
}

/** Peers may come and go: a tunnel learns that in place. */
function ownPart({ overlay }: Network) {
  if (overlay === undefined) return null
  const { peers, ...rest } = overlay
  return { ...rest, address: peers.find(({ name }) => name === rest.host)?.address ?? null }
}

function changes6(
  path: (field: string) => string,
  { ipv6 }: Network,
  observed: ObservedNetwork,
): readonly FieldChange[] {
  const there = observed.ipv6
  if (ipv6 === undefined || there === undefined)
    return value(path('enable_ipv6'))(there !== undefined, ipv6 !== undefined)
  const { subnet, gateway } = ipv6
  return [
    ...(subnet === null ? [] : value(path('ipam.subnet'))(there.subnet, subnet)),
    ...(gateway === null ? [] : value(path('ipam.gateway'))(there.gateway, gateway)),
  ]
}

/** The fields for which each network is made anew; containers on it are made anew for them, too. */
export function replacedNetworks(
  works: readonly NetworkWork[],
): ReadonlyMap<string, readonly FieldChange[]> {
  return new Map(
    works.flatMap(({ name, remove }) =>
      remove?.kind === 'changed' ? [[name, remove.fields] as const] : [],
    ),
  )
}

/** Networks that the file does not have, once no container that stays uses them. */
export function unusedNetworks(
  candidates: readonly ObservedNetwork[],
  units: readonly Unit[],
  because: Reason = ORPHAN,
): readonly NetworkWork[] {
  const used = new Set(
    units
      .flatMap(({ wanted, observed, tasks }) => [
        ...(wanted?.spec.networks ?? []),
        ...(wanted === null || tasks.create !== undefined ? [] : (observed?.connected ?? [])),
      ])
      .map(({ network }) => network),
  )
  return candidates
    .filter(({ spec }) => !used.has(spec.name))
    .map((observed) => ({
      name: observed.spec.name,
      wanted: null,
      observed,
      remove: because,
      create: null,
    }))
    .sort((a, b) => compareText(a.name, b.name))
}

/** Its name or its range is another's in this plan. */
export const makesWay = (gone: NetworkWork, works: readonly NetworkWork[]): boolean =>
  gone.create !== null || works.some((work) => work.create !== null && takesOver(work, gone))

export function takesOver({ wanted }: NetworkWork, { observed }: NetworkWork): boolean {
  const subnet = wanted?.subnet ?? null
  return subnet !== null && observed !== null && overlap(subnet, observed.subnet)
}

/** Whether two IPv4 ranges in CIDR notation share an address; false for anything else. */
export function overlap(a: string, b: string): boolean {
  const left = range(a)
  const right = range(b)
  if (left === null || right === null) return false
  const size = Math.max(left.size, right.size)
  return Math.floor(left.start / size) === Math.floor(right.start / size)
}

function range(cidr: string): { readonly start: number; readonly size: number } | null {
  const [address = '', prefix = ''] = cidr.split('/')
  const parts = address.split('.').map(Number)
  const size = 2 ** (32 - Number(prefix))
  if (parts.length !== 4 || !Number.isInteger(size)) return null
  return { start: parts.reduce((sum, part) => sum * 256 + part, 0), size }
}
