import type { DesiredState } from '../model/desired.ts'
import type { ObservedState } from '../model/observed.ts'
import { isOneOff } from '../model/one-off.ts'
import type { Plan, Reason } from '../model/plan.ts'
import type { RecordWork, VolumeWork } from './draft.ts'
import { firewallWorks } from './firewall.ts'
import { unusedNetworks } from './networks.ts'
import { leaving, volumesOf } from './plan.ts'
import { sequence } from './sequence.ts'
import { asItIs, byPlace, compareText, type Unit } from './unit.ts'

export interface PlanDownOptions {
  /** Remove the volumes, too: what they hold is lost. */
  readonly removeVolumes: boolean
  /** Also remove containers of services that the file does not have. */
  readonly removeOrphans: boolean
  /** Overrides every container's own grace period; `null`: it does not. */
  readonly graceMs: number | null
}

/** Take down what the file has, or everything where there is no file. Volumes stay unless asked for. */
export function planDown(
  desired: DesiredState | null,
  observed: ObservedState,
  options: PlanDownOptions,
): Plan {
  const because: Reason = { kind: 'requested', by: 'down' }
  const declared = new Set(desired?.services.map(({ name }) => name))
  const everything = desired === null || options.removeOrphans
  const units = [...observed.containers]
    .sort(byPlace)
    .map((there) =>
      everything || declared.has(there.service) || isOneOff(there.spec)
        ? leaving(there, because)
        : staying(there),
    )
  const networks = unusedNetworks(observed.networks, units, because)
  const { apply } = firewallWorks({ observed, networks, units, services: null })
  const kept = units.flatMap(({ wanted }) => wanted?.container ?? [])
  return sequence({
    project: observed.project,
    record: recordWork({ observed, because, remains: kept.length > 0, options }),
    networks,
    volumes: options.removeVolumes ? volumeWork(desired, observed, units) : [],
    units,
    firewall: { apply: apply === null ? null : { ...apply, because }, admit: null },
    stop: { graceMs: options.graceMs, signal: null, byUser: true },
    waitTimeoutMs: null,
    warnings: kept.map(
      (name) => `\`${name}\` stays: the file has no such service; --remove-orphans removes it`,
    ),
  })
}

const staying = (observed: ObservedState['containers'][number]): Unit => ({
  service: observed.service,
  replica: observed.replica,
  observed,
  wanted: asItIs(observed),
  managed: false,
  tasks: {},
})

function recordWork(at: {
  readonly observed: ObservedState
  readonly because: Reason
  readonly remains: boolean
  readonly options: PlanDownOptions
}): RecordWork | null {
  const { record, containers, networks } = at.observed
  const known = record !== null || containers.length > 0 || networks.length > 0
  if (!known || at.remains) return null
  return { verb: 'remove', because: at.because, keepVolumes: !at.options.removeVolumes }
}

/** Volumes of the file, or all where there is no file, unless something that stays uses them. */
function volumeWork(
  desired: DesiredState | null,
  observed: ObservedState,
  units: readonly Unit[],
): readonly VolumeWork[] {
  const because: Reason = { kind: 'requested', by: 'down --volumes' }
  const used = volumesOf(units)
  const declared = new Set((desired?.volumes ?? []).map(({ name }) => name))
  return observed.volumes
    .filter(({ spec }) => !used.has(spec.name) && (desired === null || declared.has(spec.name)))
    .map(({ spec }) => ({ verb: 'remove' as const, because, volume: spec }))
    .sort((a, b) => compareText(a.volume.name, b.volume.name))
}
