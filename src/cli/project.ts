import { readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { LATE_MACHINE_CODE } from '../agent/node-flags.ts'
import { PakError } from '../errors.ts'
import type { LoadedProject } from '../manifest/load.ts'
import { withoutControl } from '../model/text.ts'
import type { Globals } from './globals.ts'

const DEFAULT_FILES = [
  'pak.yaml',
  'pak.yml',
  'compose.yaml',
  'compose.yml',
  'docker-compose.yml',
  'docker-compose.yaml',
]

/** The manifest, loaded and checked. The services named on the command line switch their profiles on. */
export async function loadProject(
  globals: Globals,
  services: readonly string[] = [],
): Promise<LoadedProject> {
  postponeMachineCode()
  const { loadManifest } = await import('../manifest/load.ts')
  const loaded = await loadManifest(loadRequest(globals, services))
  const known = loaded.desired.services.map(({ name }) => name)
  const unknown = services.find((name) => !known.includes(name))
  if (unknown !== undefined) throw await unknownService(unknown, known, loaded)
  return loaded
}

/**
 * A command is over before optimised machine code has paid for its compilation; that is left to those
 * that last. Not earlier, and not while the build records pak's code cache: caches, Node's own too, are
 * refused when the flags have changed.
 */
function postponeMachineCode(): void {
  if (process.env['PAK_RECORD_CODE_CACHE'] !== undefined) return
  for (const flag of LATE_MACHINE_CODE) setFlagsFromString(flag)
}

async function unknownService(
  name: string,
  known: readonly string[],
  { elsewhere }: LoadedProject,
): Promise<PakError> {
  if (elsewhere.includes(name))
    return new PakError('not_found', `service \`${name}\`: it runs on other machines`, {
      hint: 'its `hosts` do not name this one',
    })
  const { nearest } = await import('../manifest/nearest.ts')
  const meant = nearest(name, known)
  return new PakError('not_found', `service \`${withoutControl(name)}\`: not in the manifest`, {
    hint: meant ?? `it has ${known.join(', ')}`,
  })
}

/**
 * Only the project's name, for commands that ask the agent: these must work, and fast, when the manifest
 * has an error somewhere. A name that needs more than a look at the file is loaded in full.
 */
export async function projectName(globals: Globals): Promise<string> {
  return (await evidentName(globals)) ?? (await loadProject(globals)).desired.project
}

/** The same without loading anything; null where that would not be certain. */
export async function evidentName(globals: Globals): Promise<string | null> {
  if (globals.projectName !== null) return checkedName(globals.projectName)
  const found = await firstFile(globals)
  if (found === null) return null
  const line = /^name[ \t]*:[ \t]*(.*)$/m.exec(found.text)
  if (line === null) {
    const folder = folderName(dirname(found.path))
    const simple = !/(^|[{,])\s*["']?(name|include|extends)["']?\s*:/m.test(found.text)
    if (folder !== null && simple) return folder
  }
  const plain = /^(["']?)([a-z0-9][a-z0-9_-]{0,62})\1[ \t]*(#.*)?$/.exec(line?.[1] ?? '')
  return plain?.[2] ?? null
}

/** The same; null where nothing on the command line names a project and no folder up from here holds one. */
export async function projectHere(globals: Globals): Promise<string | null> {
  const named = globals.projectName !== null || globals.files.length > 0
  return named || (await nearestFile(globals.cwd)) !== null ? projectName(globals) : null
}

/** It becomes part of a path and of a URL. */
function checkedName(name: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) return name
  throw new PakError('usage', `project name \`${withoutControl(name)}\`: not a name`, {
    hint: 'lower-case letters, digits, `_` and `-`, at most 63, the first a letter or digit',
  })
}

export function loadRequest(globals: Globals, services: readonly string[] = []) {
  return {
    files: globals.files,
    cwd: globals.cwd,
    projectName: globals.projectName,
    profiles: globals.profiles,
    envFiles: globals.envFiles,
    environment: globals.environment,
    services,
    addresses: ownAddresses,
  }
}

/** Of IPv4, whether their interface has a carrier or not (fib_trie in proc_net). */
function ownAddresses(): readonly string[] {
  const trie = readFileSync('/proc/self/net/fib_trie', 'utf8')
  const local = trie.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL/g)
  return [...new Set([...local].map(([, address = '']) => address))]
}

interface FoundFile {
  readonly path: string
  readonly text: string
}

/** The one file that decides the name; null where several could. */
async function firstFile(globals: Globals): Promise<FoundFile | null> {
  const [named] = globals.files
  if (globals.files.length > 1 || globals.envFiles.length > 0) return null
  const found =
    named === undefined ? await nearestFile(globals.cwd) : await read(resolve(globals.cwd, named))
  if (found === null) return null
  const folder = dirname(found.path)
  const variables = await read(join(folder, '.env'))
  if (variables?.text.includes('PAK_PROJECT_NAME') === true) return null
  const names = await readdir(folder).catch(() => [])
  return names.some((name) => /\.override\.ya?ml$/.test(name)) ? null : found
}

async function nearestFile(cwd: string): Promise<FoundFile | null> {
  for (let folder = cwd; ; folder = dirname(folder)) {
    for (const name of DEFAULT_FILES) {
      const found = await read(join(folder, name))
      if (found !== null) return found
    }
    if (dirname(folder) === folder) return null
  }
}

async function read(path: string): Promise<FoundFile | null> {
  try {
    return { path, text: await readFile(path, 'utf8') }
  } catch {
    return null
  }
}

const folderName = (folder: string): string | null => {
  const name = basename(folder)
  return /^[a-z0-9][a-z0-9_-]{0,62}$/.test(name) ? name : null
}
