import type { DesiredState } from '../model/desired.ts'
import type { PlanOptions } from './options.ts'
import { sharedServices } from './unit.ts'

/** What a plan is about: names of services, networks and volumes. */
export interface Scope {
  readonly services: ReadonlySet<string>
  readonly networks: ReadonlySet<string>
  readonly volumes: ReadonlySet<string>
  /** Asked for by name, or all: dependencies that come along are not recreated by force. */
  readonly selected: ReadonlySet<string>
  /** Asked for by name, but not in the file. */
  readonly unknown: readonly string[]
}

export function scopeOf(
  desired: DesiredState,
  options: Pick<PlanOptions, 'services' | 'noDeps'>,
): Scope {
  const all = desired.services.map(({ name }) => name)
  if (options.services === null) {
    return {
      services: new Set(all),
      networks: new Set(desired.networks.map(({ name }) => name)),
      volumes: new Set(desired.volumes.map(({ name }) => name)),
      selected: new Set(all),
      unknown: [],
    }
  }
  const asked = options.services
  const selected = new Set(all.filter((name) => asked.includes(name)))
  const services = options.noDeps ? selected : withDependencies(desired, selected)
  const specs = desired.services.flatMap((s) => (services.has(s.name) ? [s.container] : []))
  return {
    services,
    selected,
    networks: new Set(specs.flatMap((spec) => spec.networks.map(({ network }) => network))),
    volumes: new Set(
      specs.flatMap((spec) =>
        spec.mounts.flatMap((m) => (m.kind === 'volume' && m.volume !== null ? [m.volume] : [])),
      ),
    ),
    unknown: asked.filter((name) => !all.includes(name)),
  }
}

function withDependencies(
  desired: DesiredState,
  selected: ReadonlySet<string>,
): ReadonlySet<string> {
  const byName = new Map(desired.services.map((service) => [service.name, service]))
  const reached = new Set<string>()
  const open = [...selected]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const service = byName.get(name)
    if (service === undefined || reached.has(name)) continue
    reached.add(name)
    open.push(...service.dependsOn.map((dependency) => dependency.service))
    open.push(...sharedServices(service.container))
  }
  return reached
}
