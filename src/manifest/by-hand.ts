import { PakError } from '../errors.ts'
import type { Network, Volume } from '../model/desired.ts'
import { checkManifest } from './check.ts'
import { type Draft, normalizeManifest } from './normalize.ts'
import { parseManifest } from './parse.ts'
import { gatherProblems } from './problem.ts'
import { sourceFile } from './source.ts'
import { rootField } from './tree.ts'
import { validateManifest } from './validate.ts'

type Entry = Readonly<Record<string, unknown>>

/**
 * One network, described in the words that a file has for it, by the rules that hold for a file.
 * @throws PakError `usage` with everything that is wrong with it
 */
export async function networkOf(name: string, entry: Entry): Promise<Network> {
  const keys = { networks: { [name]: entry } }
  const { networks } = await draftOf('network', name, { service: { networks: [name] }, keys })
  return declared(networks, name)
}

/** The same for a volume. */
export async function volumeOf(name: string, entry: Entry): Promise<Volume> {
  const keys = { volumes: { [name]: entry } }
  const { volumes } = await draftOf('volume', name, {
    service: { volumes: [`${name}:/any`] },
    keys,
  })
  return declared(volumes, name)
}

async function draftOf(
  kind: 'network' | 'volume',
  name: string,
  { service, keys }: { readonly service: Entry; readonly keys: Entry },
): Promise<Draft> {
  const whole = { containers: { any: { image: 'any', ...service } }, ...keys }
  // JSON is YAML.
  const root = rootField(parseManifest(sourceFile('command line', JSON.stringify(whole))))
  const problems = gatherProblems()
  validateManifest(root, problems)
  const context = { problems, lookup: () => undefined, folder: '/', ...NOWHERE }
  const draft = await normalizeManifest(context, root)
  checkManifest({ draft, enabled: draft.services, project: '-', problems })
  const told = problems.list.map(({ path, message, hint }) => {
    const at = path.split('.').at(-1) ?? ''
    return `${at === name ? '' : `${at}: `}${message}${hint === null ? '' : ` (${hint})`}`
  })
  if (told.length === 0) return draft
  throw new PakError('usage', `create ${kind} \`${name}\`: ${told.join('; ')}`)
}

const NOWHERE = { home: null, project: '-', addresses: () => [] }

function declared<T>(things: readonly { readonly value: T }[], name: string): T {
  const [thing] = things
  if (thing !== undefined) return thing.value
  throw new PakError('usage', `create \`${name}\`: not declared`)
}
