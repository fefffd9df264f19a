import { type Address, networkAddress, projectAddress, replicaAddress } from '../model/address.ts'
import type { DesiredState, DriftMode } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import type { Plan, Reason } from '../model/plan.ts'

/** Where pak by itself does not put right what others changed. A service's word counts for its replicas. */
export function tolerated(
  desired: DesiredState,
  observed: ObservedState,
): ReadonlyMap<Address, Exclude<DriftMode, 'repair'>> {
  const general = desired.drift ?? 'repair'
  const services = new Map(desired.services.map(({ name, drift }) => [name, drift ?? general]))
  const modes: readonly (readonly [Address, DriftMode])[] = [
    [projectAddress(observed.project), general],
    ...observed.networks.map(({ spec }) => [networkAddress(spec.name), general] as const),
    ...observed.containers.map(
      ({ service, replica }) =>
        [replicaAddress(service, replica), services.get(service) ?? general] as const,
    ),
  ]
  return new Map(modes.flatMap(([on, mode]) => (mode === 'repair' ? [] : [[on, mode] as const])))
}

/** Something that others changed and pak was told only to report. */
export interface Reported {
  readonly on: Address
  readonly because: Extract<Reason, { kind: 'drift' }>
}

/** What `plan` would put right where that is only to be reported, a fact for each address. */
export function reportedBy(
  { steps }: Plan,
  modes: ReadonlyMap<Address, Exclude<DriftMode, 'repair'>>,
): readonly Reported[] {
  const found = new Map<Address, Reported>()
  for (const { on, because } of steps)
    if (because.kind === 'drift' && modes.get(on) === 'report' && !found.has(on))
      found.set(on, { on, because })
  return [...found.values()]
}
