import { basename } from 'node:path'
import { PakError } from '../errors.ts'
import type { DesiredState } from '../model/desired.ts'
import { checkManifest } from './check.ts'
import { toManifest } from './config.ts'
import type { Context } from './context.ts'
import {
  elsewhereIn,
  enabledServices,
  hostsOf,
  portWarnings,
  toDesired,
  unusedWarnings,
} from './desired.ts'
import { projectVariables } from './environment.ts'
import { findFiles, type ManifestFiles, readManifest } from './files.ts'
import { InterpolationError, interpolate, interpolateText } from './interpolate.ts'
import { mergeManifests } from './merge.ts'
import { PROJECT_NAME } from './names.ts'
import { normalizeManifest, serviceFields } from './normalize.ts'
import { parseManifest } from './parse.ts'
import { gatherProblems, ManifestError, type Problem, shown } from './problem.ts'
import { child, type Field, type ManifestNode, rootField, textOf } from './tree.ts'
import { validateManifest } from './validate.ts'

export { manifestText } from './config.ts'

export interface LoadRequest {
  /** Empty: the default names, in `cwd` and then in the folders above it. `-` is standard input. */
  readonly files: readonly string[]
  /** Absolute. */
  readonly cwd: string
  /** `null`: PAK_PROJECT_NAME, the file's `name`, else the folder's name. */
  readonly projectName: string | null
  readonly profiles: readonly string[]
  /** Empty: `.env` beside the first file, if it is there. */
  readonly envFiles: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** This machine's own addresses, of IPv4. Absent: it has none. */
  readonly addresses?: () => readonly string[]
  /** Services that the user named: their profiles are on. */
  readonly services?: readonly string[]
}

export interface LoadedProject {
  readonly desired: DesiredState
  /** Absolute paths, in the order in which they were merged. */
  readonly files: readonly string[]
  /** The same project in pak.yaml's own words, nothing left to defaults; loading it gives `desired` again. */
  readonly normalized: () => unknown
  /** Services that only other machines run. */
  readonly elsewhere: readonly string[]
  /** What was accepted, but may not be what the user meant. */
  readonly warnings: readonly string[]
}

/**
 * pak.yaml as desired state: load, interpolate, merge, validate, normalize, check.
 * @throws ManifestError with all problems at once; PakError `manifest` where no file can be read
 */
export async function loadManifest(request: LoadRequest): Promise<LoadedProject> {
  const files = await findFiles(request.files, request.cwd)
  const trees = await parseAll(files, request.cwd)
  refuseEmpty(trees, files)
  const variables = await variablesOf(request, files)
  const project = projectName(request, { trees, files, variables })
  const warnings = new Set<string>()
  const problems = gatherProblems()
  const lookup = (name: string) =>
    variables(name) ?? (NAME_VARIABLES.has(name) ? project : undefined)
  const interpolation = { lookup, problems, warn: (message: string) => void warnings.add(message) }
  const root = rootField(
    mergeManifests(trees.map((tree) => interpolate(rootField(tree), interpolation))),
  )
  validateManifest(root, problems)
  const context: Context = {
    problems,
    lookup,
    folder: files.folder,
    project,
    addresses: request.addresses ?? (() => []),
    home: request.environment['HOME'] ?? null,
  }
  const draft = await normalizeManifest(context, root)
  const choice = {
    profiles: request.profiles,
    named: request.services ?? [],
    hosts: hostsOf(draft),
  }
  const enabled = enabledServices(draft.services, choice)
  checkManifest({ draft, enabled, project, problems })
  problems.throwIfAny()
  if (child(root, 'version') !== null) warnings.add('`version` has no meaning any more: remove it')
  for (const warning of [...unusedWarnings(draft), ...portWarnings(draft, enabled)])
    warnings.add(warning)
  const desired = toDesired(draft, enabled, project)
  return {
    desired,
    files: files.paths,
    normalized: () => toManifest(desired),
    elsewhere: [...elsewhereIn(draft).keys()],
    warnings: [...warnings],
  }
}

/** Names of all services for completion, sorted. A file that cannot be read has none. */
export async function serviceNames(
  request: Pick<LoadRequest, 'files' | 'cwd'>,
): Promise<readonly string[]> {
  try {
    const files = await findFiles(request.files, request.cwd)
    const root = rootField(mergeManifests(await parseAll(files, request.cwd)))
    return serviceFields(root).map(([name]) => name)
  } catch (error) {
    if (error instanceof PakError) return []
    throw error
  }
}

/** Syntax errors of all files together. */
async function parseAll(files: ManifestFiles, cwd: string): Promise<readonly ManifestNode[]> {
  const trees: ManifestNode[] = []
  const problems: Problem[] = []
  for (const path of files.paths) {
    const source = await readManifest(path, cwd)
    try {
      trees.push(parseManifest(source))
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error
      problems.push(...error.problems)
    }
  }
  if (problems.length > 0) throw new ManifestError(problems)
  return trees
}

/** An editor may be about to write it: another project, named by the folder and without containers, is not meant. */
function refuseEmpty(trees: readonly ManifestNode[], { paths }: ManifestFiles): void {
  if (trees.some((tree) => tree.kind !== 'map' || tree.entries.size > 0)) return
  const [path = ''] = paths
  throw new PakError('manifest', `read \`${basename(path)}\`: there is nothing in it`, {
    hint: 'declare at least one container under `containers:`',
  })
}

type Lookup = (name: string) => string | undefined

/** The shell wins over env files. */
async function variablesOf(request: LoadRequest, { folder }: ManifestFiles): Promise<Lookup> {
  const { environment, cwd, envFiles } = request
  const shell = (name: string) => (Object.hasOwn(environment, name) ? environment[name] : undefined)
  const variables = await projectVariables(envFiles, { folder, cwd, shell })
  return (name) => shell(name) ?? variables.get(name)
}

/** Compose's own variables that a file may ask for. */
const NAME_VARIABLES: ReadonlySet<string> = new Set(['PAK_PROJECT_NAME', 'COMPOSE_PROJECT_NAME'])

interface NameSources {
  readonly trees: readonly ManifestNode[]
  readonly files: ManifestFiles
  readonly variables: Lookup
}

function projectName(request: LoadRequest, { trees, files, variables }: NameSources): string {
  const given = request.projectName ?? variables('PAK_PROJECT_NAME') ?? null
  if (given !== null && given !== '') {
    if (PROJECT_NAME.test(given)) return given
    throw new PakError('usage', `project name, \`${shown(given)}\`: ${NAME_RULE}`)
  }
  const written = trees
    .map((tree) => child(rootField(tree), 'name'))
    .findLast((name) => name !== null)
  const name = written === undefined ? null : interpolatedName(written, variables)
  if (name !== null) return name
  const folder = basename(files.folder)
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
  if (folder !== '') return folder.slice(0, 63)
  throw new PakError(
    'usage',
    `project name, \`${shown(files.folder)}\`: the folder's name gives none`,
    {
      hint: 'say `name:` in the manifest, or -p',
    },
  )
}

const NAME_RULE = 'lower-case letters, digits, `_` and `-`, at most 63, the first a letter or digit'

/** A name that does not fit stands for a while: the schema reports it with the rest. */
function interpolatedName(field: Field, lookup: Lookup): string | null {
  try {
    return interpolateText(textOf(field) ?? '', lookup)
  } catch (error) {
    if (error instanceof InterpolationError) return null
    throw error
  }
}
