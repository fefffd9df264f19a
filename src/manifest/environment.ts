import { resolve } from 'node:path'
import { PakError } from '../errors.ts'
import { attempt, type Context, pairsOf, Refusal, sortedRecord, takeBoolean } from './context.ts'
import { EnvFileError, parseEnvFile } from './dotenv.ts'
import { readEnvText } from './files.ts'
import { hostPath } from './mounts.ts'
import { parseLabelName, parseVariableName } from './names.ts'
import { printable, shown } from './problem.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** Contents of the env files that services name, by absolute path; `null` where there is no file. */
export type EnvFiles = ReadonlyMap<string, string | null | Refusal>

/** Read every file that a service's `env_file` names, each once. */
export async function readEnvFiles(
  context: Context,
  services: readonly Field[],
): Promise<EnvFiles> {
  const files = new Map<string, string | null | Refusal>()
  for (const service of services)
    for (const { path } of envFilesOf(context, service))
      if (!files.has(path)) files.set(path, await readOne(path))
  return files
}

async function readOne(path: string): Promise<string | null | Refusal> {
  try {
    return await readEnvText(path)
  } catch (error) {
    if (error instanceof PakError) return new Refusal(error.message)
    throw error
  }
}

interface NamedEnvFile {
  readonly path: string
  readonly required: boolean
  readonly field: Field
}

function envFilesOf(context: Context, service: Field): readonly NamedEnvFile[] {
  const field = child(service, 'env_file')
  const items = field?.node.kind === 'scalar' ? [field] : itemsOf(field)
  return items.flatMap((item) => {
    const text = textOf(item) ?? textOf(child(item, 'path'))
    if (text === null) return []
    const path = attempt<string | null>(context, item, {
      make: () => hostPath(context, text),
      fallback: null,
    })
    const required = takeBoolean(child(item, 'required'), true)
    return path === null ? [] : [{ path, required, field: item }]
  })
}

/** `env_file`, then `environment` over it; a name without a value takes it from the shell if it is set there. */
export function normalizeEnvironment(
  context: Context,
  service: Field,
  files: EnvFiles,
): Readonly<Record<string, string>> {
  const environment = new Map<string, string>()
  for (const file of envFilesOf(context, service))
    attempt<void>(context, file.field, {
      make: () => {
        for (const [name, value] of entriesOfFile(context, file, files))
          environment.set(name, value)
      },
      fallback: undefined,
    })
  const declared = normalizeVariables(context, child(service, 'environment'))
  return sortedRecord([...environment, ...Object.entries(declared)])
}

/** A map or list of variables; a name without a value takes it from the shell if it is set there. */
export function normalizeVariables(
  context: Context,
  field: Field | null,
): Readonly<Record<string, string>> {
  const environment = new Map<string, string>()
  const seen = new Set<string>()
  for (const { name, value, field: at } of pairsOf(field)) {
    const make = () => {
      parseVariableName(name)
      if (seen.has(name)) throw new Refusal(`variable \`${name}\` is there twice`)
      seen.add(name)
      const resolved = value ?? context.lookup(name)
      if (resolved !== undefined) environment.set(name, withoutNull(resolved))
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  return sortedRecord(environment)
}

function entriesOfFile(
  context: Context,
  { path, required }: NamedEnvFile,
  files: EnvFiles,
): readonly (readonly [string, string])[] {
  const text = files.get(path) ?? null
  if (text instanceof Refusal) throw text
  if (text === null) {
    if (!required) return []
    throw new Refusal(
      `there is no env file \`${shown(path)}\``,
      'say `required: false` if it may be missing',
    )
  }
  try {
    return parseEnvFile(text, context.lookup).flatMap(({ name, value }) => {
      const resolved = value ?? context.lookup(name)
      return resolved === undefined
        ? []
        : [[parseVariableName(name), withoutNull(resolved)] as const]
    })
  } catch (error) {
    if (!(error instanceof EnvFileError)) throw error
    throw new Refusal(`${printable(path)}:${error.line}: ${error.message}`)
  }
}

function withoutNull(value: string): string {
  if (value.includes('\0')) throw new Refusal('a value cannot hold a NUL character')
  return value
}

/** Labels of a service, network or volume, list or map; a name alone has an empty value. */
export function normalizeLabels(
  context: Context,
  field: Field | null,
): Readonly<Record<string, string>> {
  const labels = new Map<string, string>()
  for (const { name, value, field: at } of pairsOf(field)) {
    const make = () => {
      parseLabelName(name)
      if (labels.has(name)) throw new Refusal(`label \`${name}\` is there twice`)
      labels.set(name, withoutNull(value ?? ''))
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  return sortedRecord(labels)
}

/** Variables of the project's own env files, for interpolation. */
export async function projectVariables(
  files: readonly string[],
  options: {
    readonly folder: string
    readonly cwd: string
    readonly shell: (name: string) => string | undefined
  },
): Promise<ReadonlyMap<string, string>> {
  const variables = new Map<string, string>()
  const named = files.length > 0
  const paths = named
    ? files.map((file) => resolve(options.cwd, file))
    : [resolve(options.folder, '.env')]
  for (const path of paths) {
    const text = await readEnvText(path)
    if (text === null) {
      if (!named) continue
      throw new PakError('manifest', `read env file, \`${shown(path)}\`: there is no such file`)
    }
    for (const [name, value] of variablesOf(path, text, options.shell)) variables.set(name, value)
  }
  return variables
}

function variablesOf(
  path: string,
  text: string,
  shell: (name: string) => string | undefined,
): readonly (readonly [string, string])[] {
  try {
    return parseEnvFile(text, shell).flatMap(({ name, value }) =>
      value === null ? [] : [[name, value] as const],
    )
  } catch (error) {
    if (!(error instanceof EnvFileError)) throw error
    throw new PakError(
      'manifest',
      `read env file, \`${shown(path)}:${error.line}\`: ${error.message}`,
    )
  }
}
