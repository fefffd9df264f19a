import { PakError } from '../errors.ts'
import type { Network } from '../model/desired.ts'
import { checkManifest } from './check.ts'
import { normalizeManifest } from './normalize.ts'
import { parseManifest } from './parse.ts'
import { gatherProblems } from './problem.ts'
import { sourceFile } from './source.ts'
import { rootField } from './tree.ts'
import { validateManifest } from './validate.ts'

const NOWHERE = { home: null, project: '-', addresses: () => [] }

/**
 * One network, described in the words that a file has for it, by the rules that hold for a file.
 * @throws PakError `usage` with everything that is wrong with it
 */
export async function networkOf(
  name: string,
  entry: Readonly<Record<string, unknown>>,
): Promise<Network> {
  const whole = {
    containers: { any: { image: 'any', networks: [name] } },
    networks: { [name]: entry },
  }
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
  const [network] = draft.networks
  if (told.length === 0 && network !== undefined) return network.value
  throw new PakError('usage', `create network \`${name}\`: ${told.join('; ')}`)
}
