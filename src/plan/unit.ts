import { replicaAddress } from '../model/address.ts'
import type { ContainerSpec, Dependency, DesiredState, Service } from '../model/desired.ts'
import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import type { Reason } from '../model/plan.ts'

/** What may happen to one container, each with its reason; the order among them is `sequence`'s. */
export type Task =
  | 'stop'
  | 'remove'
  | 'create'
  | 'update'
  | 'repair'
  | 'kill'
  | 'pause'
  | 'unpause'
  | 'start'
export type Tasks = Readonly<Partial<Record<Task, Reason>>>

/** One replica of one service: what is, what is wanted, and what has to be done about it. */
export interface Unit {
  readonly service: string
  readonly replica: number
  readonly observed: ObservedContainer | null
  /** `null`: it is gone after the plan. */
  readonly wanted: Wanted | null
  /** False: out of the plan's scope; it is only touched when something that it stands on is. */
  readonly managed: boolean
  readonly tasks: Tasks
  /** It leaves, for this reason, when its service is through with its update; till then it is as `wanted`. */
  readonly surge?: Reason
}

export interface Wanted {
  readonly container: string
  readonly spec: ContainerSpec
  readonly dependsOn: readonly Dependency[]
  /** `null` for `rootfs:`, and where the image is not in the store: preflight reports that. */
  readonly imageDigest: string | null
}

/** It is there after the plan. */
export const isLasting = ({ wanted, surge }: Unit): boolean =>
  wanted !== null && surge === undefined

export const MISSING: Reason = { kind: 'missing' }
export const ORPHAN: Reason = { kind: 'orphan' }

export const isUp = (observed: ObservedContainer | null): boolean =>
  observed?.status.state === 'running' || observed?.status.state === 'paused'

/** The container that a replica of a declared service should be. */
export function wantedOf(
  service: Service,
  replica: number,
  at: { readonly desired: DesiredState; readonly observed: ObservedState },
): Wanted {
  const { source } = service.container
  return {
    container:
      (replica === 1 ? service.containerName : null) ??
      `${at.desired.project}-${service.name}-${replica}`,
    spec: service.container,
    dependsOn: [...service.dependsOn].sort((a, b) => compareText(a.service, b.service)),
    imageDigest:
      source.kind === 'image'
        ? (service.imageDigest ?? at.observed.images[source.reference] ?? null)
        : null,
  }
}

/** A container that stays as it is. */
export const asItIs = (observed: ObservedContainer): Wanted => ({
  container: observed.name,
  spec: observed.spec,
  dependsOn: observed.dependsOn,
  imageDigest: observed.imageDigest,
})

/** Services whose first replica lends this container a namespace. */
export function sharedServices(spec: ContainerSpec): readonly string[] {
  const modes = [spec.networkMode, spec.pidMode, spec.ipcMode]
  return modes.flatMap((mode) => (mode?.kind === 'service' ? [mode.service] : []))
}

/** The id that a container's step has, whether or not it is in the plan. */
export const containerId = (
  task: Task,
  { service, replica }: Pick<Unit, 'service' | 'replica'>,
): string => `container.${task}:${replicaAddress(service, replica)}`

/** Any order of the arguments gives the same: by name, and replicas by number. */
export function byPlace(
  a: { readonly service: string; readonly replica: number },
  b: { readonly service: string; readonly replica: number },
): number {
  return compareText(a.service, b.service) || a.replica - b.replica
}

/** By code unit: the same on every machine, whatever its locale. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group === undefined) groups.set(key(item), [item])
    else group.push(item)
  }
  return groups
}
