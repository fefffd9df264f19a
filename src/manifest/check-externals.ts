import { placeOf, SHARED } from '../model/shared.ts'
import { type Check, partOf, reportAt } from './check.ts'
import type { Kind } from './external.ts'

/** What is of others is of others, each under one name. */
export function checkExternals(check: Check): void {
  checkKind(check, 'network')
  checkKind(check, 'volume')
}

function checkKind({ draft, project, problems }: Check, kind: Kind): void {
  const seen = new Map<string, string>()
  const externals = kind === 'network' ? draft.externals : draft.externalVolumes
  for (const { value, field } of externals) {
    const at = partOf(field, 'name')
    const other = seen.get(value.target)
    if (other !== undefined) reportAt(problems, at, `${kind} \`${other}\` is the same one`)
    seen.set(value.target, value.name)
    const { owner, name } = placeOf(SHARED, value.target)
    if (owner === project)
      reportAt(problems, at, `${kind} \`${name}\` is this project's own`, `say \`${name}: {}\``)
  }
}
