import type { DesiredState } from '../model/desired.ts'
import { compareText } from './unit.ts'

/** The references whose digest `plan` asks for; sorted, each once. */
export function imageReferences(desired: DesiredState | null): readonly string[] {
  const references = (desired?.services ?? []).flatMap(({ container: { source } }) =>
    source.kind === 'image' ? [source.reference] : [],
  )
  return [...new Set(references)].sort(compareText)
}
