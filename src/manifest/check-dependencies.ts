import type { Dependency } from '../model/desired.ts'
import { type Check, reportAt } from './check.ts'
import { dependencyField } from './check-references.ts'
import type { ServiceDraft } from './normalize.ts'

/** No service waits for itself, not even by way of others, nor for a health that nobody looks at. */
export function checkDependencies(check: Check): void {
  const services = new Map(check.draft.services.map((draft) => [draft.service.name, draft]))
  for (const draft of services.values())
    for (const dependency of draft.service.dependsOn)
      checkCondition(check, draft, { dependency, services })
  reportCycles(check, services)
}

type Services = ReadonlyMap<string, ServiceDraft>

function checkCondition(
  { problems }: Check,
  draft: ServiceDraft,
  { dependency, services }: { dependency: Dependency; services: Services },
): void {
  const other = services.get(dependency.service)
  if (other === undefined || dependency.condition !== 'service_healthy') return
  const { healthcheck } = other.service.container
  // Where the check itself is wrong, it is there all the same.
  if (healthcheck !== null || problems.reachesInto([...other.field.path, 'healthcheck'])) return
  if (problems.covers([...other.field.path, 'healthcheck'])) return
  const at = dependencyField(draft.field, dependency.service)
  reportAt(
    problems,
    at,
    `service \`${dependency.service}\` has no healthcheck, so it never gets healthy`,
  )
}

/** Depth first without recursion: a chain may be as long as the file. Each cycle is reported once. */
function reportCycles(check: Check, services: Services): void {
  const done = new Set<string>()
  for (const start of services.keys()) {
    const trail: { readonly name: string; next: number }[] = done.has(start)
      ? []
      : [{ name: start, next: 0 }]
    const onTrail = new Set([start])
    for (let top = trail.at(-1); top !== undefined; top = trail.at(-1)) {
      const draft = services.get(top.name)
      const other = draft?.service.dependsOn[top.next++]?.service
      if (draft === undefined || other === undefined) {
        done.add(top.name)
        onTrail.delete(top.name)
        trail.pop()
      } else if (onTrail.has(other)) {
        const names = trail.map(({ name }) => name)
        reportCycle(check, draft, names.slice(names.indexOf(other)))
      } else if (!done.has(other)) {
        onTrail.add(other)
        trail.push({ name: other, next: 0 })
      }
    }
  }
}

function reportCycle({ problems }: Check, draft: ServiceDraft, cycle: readonly string[]): void {
  const first = cycle[0] ?? ''
  const at = dependencyField(draft.field, first)
  if (cycle.length === 1) {
    reportAt(problems, at, `service \`${first}\` depends on itself`)
    return
  }
  const names = [...cycle, first].map((name) => `\`${name}\``)
  const shown = names.length > 8 ? [...names.slice(0, 4), '...', ...names.slice(-3)] : names
  reportAt(problems, at, `dependency cycle: ${shown.join(' -> ')}`)
}
