import type { Service } from '../model/desired.ts'
import { checkAddresses } from './check-addresses.ts'
import { checkCni } from './check-cni.ts'
import { checkConflicts } from './check-conflicts.ts'
import { checkDependencies } from './check-dependencies.ts'
import { checkEnds } from './check-ends.ts'
import { checkExternals } from './check-externals.ts'
import { checkLans } from './check-lan.ts'
import { checkPolicies } from './check-policies.ts'
import { checkPorts } from './check-ports.ts'
import { checkReferences } from './check-references.ts'
import { checkTunnels } from './check-tunnels.ts'
import type { Draft, ServiceDraft } from './normalize.ts'
import type { Problems } from './problem.ts'
import { child, type Field, fieldAt, itemsOf, spanOf, textOf } from './tree.ts'

export interface Check {
  readonly draft: Draft
  /** The services that no profile switches off: only they can be in each other's way. */
  readonly enabled: readonly ServiceDraft[]
  readonly project: string
  readonly problems: Problems
}

/** What no single value shows: how the parts of the file fit together. */
export function checkManifest(check: Check): void {
  checkSections(check)
  checkReferences(check)
  checkDependencies(check)
  checkConflicts(check)
  checkPorts(check)
  checkAddresses(check)
  checkEnds(check)
  checkExternals(check)
  checkPolicies(check)
  checkTunnels(check)
  checkLans(check)
  checkCni(check)
}

function checkSections({ draft, problems }: Check): void {
  const services = child(draft.root, 'services')
  if (services === null || child(draft.root, 'containers') === null) return
  const message = '`services` and `containers` mean the same: a manifest has one of them'
  problems.report({ span: services.key, path: services.path, message })
}

/** The key of a service that a problem is about; the service itself where it is not written. */
export function partOf(service: Field, key: string): Field {
  return fieldAt(service, [key])
}

/** Who would be there at one time with what only one can have; `null`: there is never a second. */
export function sharers({ replicas, update }: Service): string | null {
  if (replicas > 1) return `${replicas} replicas`
  return update?.order === 'start-first' ? 'with `start-first` a replica and its successor' : null
}

/** The entry of a list or map that has this name. */
export function namedPart(service: Field, key: string, name: string): Field {
  const part = child(service, key)
  if (part === null) return service
  return (
    child(part, name) ??
    entryOf(part, name) ??
    itemsOf(part).find((item) => textOf(item) === name) ??
    part
  )
}

function entryOf(part: Field, name: string): Field | null {
  const found = fieldAt(part, [name])
  return found === part ? null : found
}

export function reportAt(
  problems: Problems,
  field: Field,
  message: string,
  hint: string | null = null,
): void {
  const { path } = field
  problems.report({ span: spanOf(field), path, message, hint })
}
