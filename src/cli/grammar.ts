import type { Flags } from './flags.ts'
import type { Globals } from './globals.ts'
import type { Interrupts } from './interrupts.ts'
import type { Terminal } from './terminal.ts'

/** What one command line came down to; all that a command gets to see. */
export interface Invocation {
  /** The words after the command's name. */
  readonly words: readonly string[]
  readonly flags: Flags
  readonly globals: Globals
  readonly terminal: Terminal
  readonly interrupts: Interrupts
}

export interface OptionSpec {
  /** As commander reads it: `-t, --timeout <seconds>`. */
  readonly flags: string
  readonly summary: string
  /** May be given several times; the values are collected. */
  readonly repeats?: true
  readonly choices?: readonly string[]
}

export interface CommandSpec {
  readonly name: string
  readonly summary: string
  /** As commander reads it: `[services...]`. */
  readonly words?: string
  readonly options?: readonly OptionSpec[]
  /** Each one a line a reader can type. Shown first in the help. */
  readonly examples: readonly string[]
  /** Said after the options, for what a line cannot hold. */
  readonly notes?: string
  readonly commands?: readonly CommandSpec[]
  /** Everything after the first word belongs to somebody else (`exec`). */
  readonly passThrough?: true
  readonly hidden?: true
  /** Which words completion offers. */
  readonly completes?:
    | 'services'
    | 'service'
    | 'files'
    | 'networks'
    | 'hand networks'
    | 'volumes'
    | 'network and container'
  /** Exit status for pak's own errors, where 1 and 2 are the command's. */
  readonly ownExitStatus?: 125
  readonly run?: (invocation: Invocation) => Promise<number>
}

/** A view prints what the command returned; the number is the exit status, nothing is 0. */
export type View<T> = (
  data: T,
  invocation: Invocation,
) => Promise<number | undefined> | number | undefined

/** A command and its view, neither of them loaded before the line has been parsed. */
export function bind<T>(
  command: () => Promise<(invocation: Invocation) => T | Promise<T>>,
  view: () => Promise<View<T>>,
): (invocation: Invocation) => Promise<number> {
  return async (invocation) => {
    const [run, print] = await Promise.all([command(), view()])
    return (await print(await run(invocation), invocation)) ?? 0
  }
}

export const FORMAT: OptionSpec = {
  flags: '--format <format>',
  summary: 'table or json',
  choices: ['table', 'json'],
}

/** These may stand before the command or after it. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  { flags: '-f, --file <path>', summary: 'the manifest; several are merged', repeats: true },
  { flags: '-p, --project-name <name>', summary: "the project's name" },
  { flags: '--profile <name>', summary: 'switch a profile on', repeats: true },
  { flags: '--env-file <path>', summary: 'variables for the manifest', repeats: true },
  { flags: '--root <folder>', summary: 'state (default /var/lib/pak)' },
  { flags: '--run-root <folder>', summary: 'what a reboot may forget (default /run/pak)' },
  { flags: '--executor <name>', summary: 'linux; pak plan --simulate has a host in memory' },
  { flags: '--runtime <name>', summary: 'the OCI runtime: crun, runc or a path' },
  {
    flags: '--progress <kind>',
    summary: 'how progress is shown on stderr',
    choices: ['auto', 'tty', 'plain', 'json', 'quiet'],
  },
  { flags: '--ansi <when>', summary: 'colour', choices: ['auto', 'always', 'never'] },
]
