import { resolve } from 'node:path'
import type { Flags } from './flags.ts'

export const PROGRESS_KINDS = ['auto', 'tty', 'plain', 'json', 'quiet'] as const
export type ProgressKind = (typeof PROGRESS_KINDS)[number]

/** Options that every command has, with the environment already looked at. */
export interface Globals {
  /** Empty: the default names, searched from the working folder upward. */
  readonly files: readonly string[]
  readonly projectName: string | null
  readonly profiles: readonly string[]
  readonly envFiles: readonly string[]
  readonly root: string
  readonly runRoot: string
  readonly executor: string
  readonly runtime: string
  readonly progress: ProgressKind
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface Surroundings {
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The command line wins over the environment, the environment over the default. */
export function globalsOf(flags: Flags, { cwd, environment }: Surroundings): Globals {
  const from = (name: string, variable: string): string | null =>
    flags.text(name) ?? (environment[variable] || null)
  const files = flags.list('file')
  const profiles = flags.list('profile')
  const kind = flags.text('progress')
  return {
    files: files.length > 0 ? files : split(environment['PAK_FILE'], ':'),
    projectName: from('projectName', 'PAK_PROJECT_NAME'),
    profiles: profiles.length > 0 ? profiles : split(environment['PAK_PROFILES'], ','),
    envFiles: flags.list('envFile'),
    root: resolve(cwd, from('root', 'PAK_ROOT') ?? '/var/lib/pak'),
    runRoot: resolve(cwd, from('runRoot', 'PAK_RUN_ROOT') ?? '/run/pak'),
    executor: flags.text('executor') ?? 'linux',
    runtime: flags.text('runtime') ?? 'crun',
    progress: PROGRESS_KINDS.find((known) => known === kind) ?? 'auto',
    cwd,
    environment,
  }
}

const split = (value: string | undefined, separator: string): readonly string[] =>
  (value ?? '').split(separator).filter((part) => part !== '')
