import { open, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { PakError } from '../errors.ts'
import { shown } from './problem.ts'
import { type SourceFile, sourceFile } from './source.ts'

const DEFAULT_NAMES = [
  'pak.yaml',
  'pak.yml',
  'compose.yaml',
  'compose.yml',
  'docker-compose.yml',
  'docker-compose.yaml',
] as const

const MOST_BYTES = 4 * 1024 * 1024

export interface ManifestFiles {
  /** Absolute paths, `-` for standard input, in the order in which they are merged. */
  readonly paths: readonly string[]
  /** The folder of the first one: relative paths and the project's name come from it. */
  readonly folder: string
}

/**
 * The files that were named, else the first default name in the working folder or the nearest one above it,
 * together with its `.override` file if there is one.
 */
export async function findFiles(files: readonly string[], cwd: string): Promise<ManifestFiles> {
  const first = files[0]
  if (first !== undefined) {
    const paths = files.map((file) => (file === '-' ? file : resolve(cwd, file)))
    return { paths, folder: first === '-' ? cwd : dirname(resolve(cwd, first)) }
  }
  for (let folder = cwd; ; folder = dirname(folder)) {
    for (const name of DEFAULT_NAMES)
      if (await isThere(join(folder, name)))
        return { paths: await withOverride(join(folder, name)), folder }
    if (dirname(folder) === folder) break
  }
  throw new PakError(
    'manifest',
    `find manifest, \`${shown(cwd)}\`: no ${DEFAULT_NAMES[0]} here or in a folder above`,
    {
      hint: `name it with -f, or write one; ${DEFAULT_NAMES.slice(1).join(', ')} are read too`,
    },
  )
}

async function withOverride(path: string): Promise<readonly string[]> {
  for (const extension of ['yaml', 'yml']) {
    const override = path.replace(/\.ya?ml$/, `.override.${extension}`)
    if (await isThere(override)) return [path, override]
  }
  return [path]
}

async function isThere(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => null)
  return facts !== null && !facts.isDirectory()
}

/** Read one manifest; never more than a bounded number of bytes, whatever the file says of its size. */
export async function readManifest(path: string, cwd: string): Promise<SourceFile> {
  const name = path === '-' ? '-' : shorterName(path, cwd)
  const bytes = await readBounded(path === '-' ? '/dev/stdin' : path, name, MOST_BYTES)
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return sourceFile(name, text)
  } catch {
    throw new PakError('manifest', `read manifest, \`${shown(name)}\`: not UTF-8 text`)
  }
}

/** Text of an env file; `null` when there is none. */
export async function readEnvText(path: string): Promise<string | null> {
  if (!(await isThere(path))) return null
  if ((await stat(path)).isFIFO())
    throw new PakError('manifest', `read file, \`${shown(basename(path))}\`: a pipe, not a file`)
  const bytes = await readBounded(path, basename(path), MOST_BYTES)
  return new TextDecoder().decode(bytes)
}

function shorterName(path: string, cwd: string): string {
  const short = relative(cwd, path)
  return short === '' || short.startsWith('../..') ? path : short
}

async function readBounded(path: string, name: string, most: number): Promise<Uint8Array> {
  const refuse = (reason: string, cause?: unknown) =>
    new PakError('manifest', `read file, \`${shown(name)}\`: ${reason}`, { cause })
  const file = await open(path).catch((error: unknown) => {
    throw refuse(systemReason(error), error)
  })
  try {
    const chunks: Uint8Array[] = []
    for (let size = 0; ; ) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(64 * 1024))
      if (bytesRead === 0) return Buffer.concat(chunks)
      size += bytesRead
      if (size > most) throw refuse(`larger than ${most / 1024 / 1024} MiB`)
      chunks.push(buffer.subarray(0, bytesRead))
    }
  } catch (error) {
    throw error instanceof PakError ? error : refuse(systemReason(error), error)
  } finally {
    await file.close()
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
}

function systemReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  return REASONS[code] ?? code
}
