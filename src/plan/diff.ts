import type { ContainerSpec, Dependency } from '../model/desired.ts'
import type { ObservedContainer } from '../model/observed.ts'
import type { FieldChange } from '../model/plan.ts'
import { keyed, same } from './compare.ts'
import { FIELDS, type FieldClass, sourceText } from './fields.ts'
import { compareText, type Wanted } from './unit.ts'

/** A change with what it takes, and the key of ContainerSpec (or `dependsOn`) that it is of. */
export interface ClassedChange {
  readonly on: FieldClass
  readonly key: keyof ContainerSpec | 'dependsOn' | 'containerName'
  readonly change: FieldChange
}

/** What differs between a container that is wanted and the one that is; sorted by path. */
export function diffContainer(
  wanted: Wanted,
  observed: ObservedContainer,
): readonly ClassedChange[] {
  const changes: ClassedChange[] = []
  const add = (key: ClassedChange['key'], on: FieldClass, found: readonly FieldChange[]) => {
    for (const change of found) changes.push({ key, on, change })
  }
  if (wanted.container !== observed.name) {
    const change = { path: 'container_name', from: observed.name, to: wanted.container }
    add('containerName', 'recreate', [change])
  }
  // Most containers are as they should be, and every pass asks about all of them: their lists are not sorted for that.
  const keys = same(wanted.spec, observed.spec) ? (['source'] as const) : FIELD_KEYS
  for (const key of keys) {
    if (key === 'source') add(key, 'recreate', sourceChanges(wanted, observed))
    else add(key, FIELDS[key].on, compareField(key, observed.spec, wanted.spec))
  }
  add('dependsOn', 'live', compareDependencies(observed.dependsOn, wanted.dependsOn))
  return changes.sort((a, b) => compareText(a.change.path, b.change.path))
}

const FIELD_KEYS = Object.keys(FIELDS).filter((key): key is keyof ContainerSpec =>
  Object.hasOwn(FIELDS, key),
)

function compareField<K extends keyof ContainerSpec>(
  key: K,
  from: ContainerSpec,
  to: ContainerSpec,
): readonly FieldChange[] {
  return FIELDS[key].compare(from[key], to[key])
}

/**
 * An image is what its digest says: the same digest under another tag is the same image. An image that
 * has left the store since is no reason to recreate what runs from it.
 */
function sourceChanges(wanted: Wanted, observed: ObservedContainer): readonly FieldChange[] {
  const from = observed.spec.source
  const to = wanted.spec.source
  if (from.kind !== to.kind || to.kind === 'rootfs') {
    if (from.kind === to.kind && sourceText(from) === sourceText(to)) return []
    const path = to.kind === 'image' ? 'image' : 'rootfs'
    return [{ path, from: sourceText(from), to: sourceText(to) }]
  }
  const named = sourceText(from) !== sourceText(to)
  if (wanted.imageDigest === null ? !named : wanted.imageDigest === observed.imageDigest) return []
  if (named) return [{ path: 'image', from: sourceText(from), to: sourceText(to) }]
  return [{ path: 'image', from: observed.imageDigest, to: wanted.imageDigest }]
}

const compareDependencies = keyed<Dependency>(
  (key) => `depends_on.${key}`,
  (dependency) => dependency.service,
  ({ condition, required, restart }) => ({ condition, required, restart }),
)
