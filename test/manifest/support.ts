import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { type LoadedProject, type LoadRequest, loadManifest } from '../../src/manifest/load.ts'
import { ManifestError } from '../../src/manifest/problem.ts'

/** A folder with these files; gone at the end of the test. */
export async function folderWith(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'pakt-manifest-'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

/** Load pak.yaml with this text, with the other files beside it. */
export async function load(
  text: string,
  options: Partial<LoadRequest> & { readonly beside?: Readonly<Record<string, string>> } = {},
): Promise<LoadedProject> {
  const { beside, ...request } = options
  await using folder = await folderWith({ 'pak.yaml': text, ...beside })
  return await loadManifest({
    files: [],
    cwd: folder.path,
    projectName: 'shop',
    profiles: [],
    envFiles: [],
    environment: {},
    ...request,
  })
}

/** The desired state of one service on an image. */
export async function service(lines: string, options: Parameters<typeof load>[1] = {}) {
  const { desired } = await load(`containers: { web: { image: a, ${lines} } }`, options)
  const found = desired.services[0]
  assert.ok(found)
  return found
}

export async function container(lines: string, options: Parameters<typeof load>[1] = {}) {
  return (await service(lines, options)).container
}

/** The problems of a manifest as `line:column path: message; hint`. */
export async function problemsOf(
  text: string,
  options: Parameters<typeof load>[1] = {},
): Promise<readonly string[]> {
  const error = await errorOf(text, options)
  assert.instance(error, ManifestError, error?.stack)
  return (error as ManifestError).problems.map(({ line, column, path, message, hint }) => {
    const said = hint === null ? message : `${message}; ${hint}`
    return `${line}:${column} ${path}: ${said}`
  })
}

/** The problems of one service, without their places. */
export async function refused(lines: string): Promise<string> {
  const problems = await problemsOf(`containers: { web: { image: a, ${lines} } }`)
  return problems.map((problem) => problem.replace(/^\d+:\d+ /, '')).join('\n')
}

export async function errorOf(
  text: string,
  options: Parameters<typeof load>[1] = {},
): Promise<PakError | null> {
  try {
    await load(text, options)
    return null
  } catch (error) {
    if (error instanceof PakError) return error
    throw error
  }
}
