import type { DesiredState } from '../model/desired.ts'

/** Every image reference that the plan needs a digest for, sorted, each once. */
export function imageReferences(desired: DesiredState | null): readonly string[] {
  const references = (desired?.services ?? []).flatMap(({ container: { source } }) =>
    source.kind === 'image' ? source.reference : [],
  )
  return [...new Set(references)].sort()
}
