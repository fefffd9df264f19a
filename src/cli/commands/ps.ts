import type { ContainerRow } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { Invocation } from '../grammar.ts'
import { projectHere } from '../project.ts'
import { peekAgent } from '../session.ts'

const FILTERS: Readonly<Record<string, (row: ContainerRow) => string>> = {
  service: (row) => row.service,
  name: (row) => row.container,
  state: (row) => row.state,
  status: (row) => row.state,
  health: (row) => row.health ?? 'none',
}

/**
 * The project's containers; outside any project's folder those of every project of this root. Only those
 * that run, or are about to, without `-a`.
 */
export async function ps({
  flags,
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly ContainerRow[]> {
  const filters = flags.list('filter').map(parseFilter)
  const project = await projectHere(globals)
  const agent = await peekAgent(globals, interrupts.signal)
  const rows = agent === null ? [] : await agent.containers(project)
  const missing = words.find((word) => !rows.some((row) => row.service === word))
  if (missing !== undefined)
    throw new PakError(
      'not_found',
      `ps \`${missing}\`: no such service${project === null ? '' : ` in ${project}`}`,
    )
  return rows
    .filter((row) => flags.on('all') || filters.length > 0 || isUp(row))
    .filter((row) => words.length === 0 || words.includes(row.service))
    .filter((row) => filters.every((matches) => matches(row)))
}

const isUp = ({ state }: ContainerRow): boolean =>
  state === 'running' || state === 'paused' || state === 'restarting'

function parseFilter(text: string): (row: ContainerRow) => boolean {
  const [key = '', ...rest] = text.split('=')
  const read = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined
  const wanted = rest.join('=')
  if (read === undefined || rest.length === 0)
    throw new PakError('usage', `option \`--filter\`: expected key=value, got \`${text}\``, {
      hint: `keys are ${Object.keys(FILTERS).join(', ')}`,
    })
  return (row) => read(row) === wanted
}
