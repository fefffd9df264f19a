import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { foreignName, SHARED } from '../../model/shared.ts'
import type { CommandSpec, Invocation } from '../grammar.ts'
import { projectHere } from '../project.ts'

/** Words for what exists, by the names of the agent's records: no agent is asked. Sorted. */
export async function knownWords(
  typed: number,
  completes: NonNullable<CommandSpec['completes']>,
  globals: Invocation['globals'],
): Promise<readonly string[]> {
  if (completes === 'hand networks') return recorded(globals, SHARED, 'networks')
  if (completes === 'volumes') {
    const projects = await namesIn(join(globals.root, 'projects'))
    return placeWords(globals, projects, 'volumes')
  }
  const networks = completes === 'networks' || completes === 'network and container'
  if (!networks) return []
  const projects = await namesIn(join(globals.root, 'projects'))
  if (completes === 'networks' || typed === 0) return placeWords(globals, projects, 'networks')
  if (typed > 1) return []
  const lists = projects.map((project) => recorded(globals, project, 'containers'))
  return (await Promise.all(lists)).flat().sort()
}

async function placeWords(
  globals: Invocation['globals'],
  projects: readonly string[],
  kind: 'networks' | 'volumes',
): Promise<readonly string[]> {
  const here = await projectHere(globals).catch(() => null)
  const lists = projects.map(async (owner) =>
    (await recorded(globals, owner, kind)).map((name) =>
      owner === SHARED || owner === here ? name : foreignName({ owner, name }),
    ),
  )
  return [...new Set((await Promise.all(lists)).flat())].sort()
}

const recorded = async (
  { root }: Invocation['globals'],
  project: string,
  kind: 'networks' | 'volumes' | 'containers',
): Promise<readonly string[]> =>
  (await namesIn(join(root, 'projects', project, kind))).flatMap((file) =>
    file.endsWith('.json') ? file.slice(0, -'.json'.length) : [],
  )

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => [])
