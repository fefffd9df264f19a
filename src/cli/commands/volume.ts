import type { AgentClient } from '../../agent/client.ts'
import type { VolumeRow } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import { isForeign, type Place, placeOf, SHARED } from '../../model/shared.ts'
import type { Invocation } from '../grammar.ts'
import { projectHere } from '../project.ts'
import { openAgent, peekAgent } from '../session.ts'
import { ask } from '../views/ask.ts'
import { checkedName } from './network-hand.ts'

/** `volume create`: a volume of no project, which any project may have. */
export async function create({
  flags,
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly string[]> {
  const [word = ''] = words
  const { volumeOf } = await import('../../manifest/by-hand.ts')
  const volume = await volumeOf(checkedName('volume', word), { labels: flags.list('label') })
  const agent = await openAgent(globals, interrupts.signal)
  await agent.createVolume(volume)
  return [word]
}

/** `volume inspect`: the project's volumes, outside of one those made by hand, or only those that are named. */
export async function inspect(invocation: Invocation): Promise<readonly VolumeRow[]> {
  const { globals, interrupts, words } = invocation
  const here = await projectIfNeeded(invocation)
  const agent = await peekAgent(globals, interrupts.signal)
  const rows = agent === null ? [] : await agent.volumes()
  if (words.length === 0) return rows.filter(({ project }) => project === here)
  return words.map((word) => find(rows, { here, word, verb: 'inspect' }))
}

/** `volume rm`: by name; one that a container has stays and is an error. */
export async function remove(invocation: Invocation): Promise<readonly string[]> {
  const { globals, interrupts, words } = invocation
  const here = await projectIfNeeded(invocation)
  const agent = await openAgent(globals, interrupts.signal)
  const rows = await agent.volumes()
  const found = words.map((word) => placeIn(find(rows, { here, word, verb: 'remove' })))
  for (const place of found) await agent.removeVolume(place)
  return words
}

/** `volume prune`: whatever was made by hand, with `--all` of whatever project, and no container has. */
export async function prune(invocation: Invocation): Promise<readonly string[]> {
  const { flags, globals, interrupts, terminal } = invocation
  const agent = await peekAgent(globals, interrupts.signal)
  const unused = agent === null ? [] : await unusedOf(agent, flags.on('all'))
  if (agent === null || unused.length === 0) return []
  const names = unused.map(({ project, name }) => (project === null ? name : `${project}/${name}`))
  if (!flags.on('force')) {
    if (terminal.stdin.isTTY !== true || terminal.stderr.isTTY !== true)
      throw new PakError('usage', 'volume prune: there is nobody to ask', {
        hint: `-f removes ${names.join(', ')} with all that is in them, without asking`,
      })
    const question = `remove volumes ${names.join(', ')}, and all that is in them?`
    if (!(await ask(question, invocation))) return []
  }
  for (const row of unused) await agent.removeVolume(placeIn(row))
  return names
}

async function unusedOf(agent: AgentClient, all: boolean): Promise<readonly VolumeRow[]> {
  return (await agent.volumes()).filter(
    ({ project, containers }) => containers.length === 0 && (all || project === null),
  )
}

const projectIfNeeded = async ({ globals, words }: Invocation): Promise<string | null> =>
  words.length > 0 && words.every(isForeign) ? null : projectHere(globals)

const placeIn = ({ project, name }: VolumeRow): Place => ({ owner: project ?? SHARED, name })

/** The project's own comes before one made by hand. */
function find(
  rows: readonly VolumeRow[],
  { here, word, verb }: { readonly here: string | null; readonly word: string; verb: string },
): VolumeRow {
  const places = isForeign(word)
    ? [placeOf(SHARED, word)]
    : [here, SHARED].flatMap((owner) => (owner === null ? [] : { owner, name: word }))
  for (const { owner, name } of places) {
    const found = rows.find((row) => row.name === name && (row.project ?? SHARED) === owner)
    if (found !== undefined) return found
  }
  const where = here === null ? '' : ` in ${here}, nor one made by hand`
  throw new PakError('not_found', `${verb} volume \`${word}\`: no such volume${where}`)
}
