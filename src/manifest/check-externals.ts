import { placeOf, SHARED } from '../model/shared.ts'
import { type Check, partOf, reportAt } from './check.ts'

/** Networks of others are those of others, each under one name. */
export function checkExternals({ draft, project, problems }: Check): void {
  const seen = new Map<string, string>()
  for (const { value, field } of draft.externals) {
    const at = partOf(field, 'name')
    const other = seen.get(value.target)
    if (other !== undefined) reportAt(problems, at, `network \`${other}\` is the same one`)
    seen.set(value.target, value.name)
    const { owner, name } = placeOf(SHARED, value.target)
    if (owner === project)
      reportAt(problems, at, `network \`${name}\` is this project's own`, `say \`${name}: {}\``)
  }
}
