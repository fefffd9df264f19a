import type { DesiredState, Service } from '../model/desired.ts'

/**
 * What the loop keeps alive after an `up`: of the services that were selected what the file says now,
 * of the others what it said when they were brought up. Services that never were are not in it, or the
 * loop would start what nobody asked for. Pure.
 */
export function keptAfterUp(
  before: DesiredState | null,
  desired: DesiredState,
  selection: { readonly services: readonly string[] | null; readonly noDeps: boolean },
): DesiredState {
  if (selection.services === null) return desired
  const selected = selection.noDeps
    ? new Set(selection.services)
    : withDependencies(desired.services, selection.services)
  const declared = new Set(desired.services.map(({ name }) => name))
  const earlier = (before?.services ?? []).filter(
    ({ name }) => declared.has(name) && !selected.has(name),
  )
  const now = desired.services.filter(({ name }) => selected.has(name))
  return { ...desired, services: [...earlier, ...now].sort(byName) }
}

/** What it keeps after `rm`: no longer those services. Empty: all went. */
export function keptAfterRemove(before: DesiredState, removed: readonly string[]): DesiredState {
  if (removed.length === 0) return { ...before, services: [] }
  const services = before.services.filter(({ name }) => !removed.includes(name))
  return { ...before, services }
}

function withDependencies(
  services: readonly Service[],
  wanted: readonly string[],
): ReadonlySet<string> {
  const found = new Set(wanted)
  // A Set that grows while it is walked is walked to its end: cycles end by themselves.
  for (const name of found) {
    const service = services.find((candidate) => candidate.name === name)
    for (const dependency of service?.dependsOn ?? []) found.add(dependency.service)
  }
  return found
}

const byName = (one: Service, other: Service): number =>
  one.name < other.name ? -1 : one.name > other.name ? 1 : 0
