import type { Command } from 'commander'
import { flagsOf } from '../flags.ts'
import { globalsOf } from '../globals.ts'
import type { CommandSpec, Invocation } from '../grammar.ts'
import { loadRequest } from '../project.ts'
import { knownWords } from './complete-known.ts'

/**
 * Candidates for the last of the words typed so far, one a line; `:files` asks the shell for file names.
 * Called by the shell's completion at every Tab: no agent, no error, nothing but candidates.
 */
export async function complete({ words, globals }: Invocation): Promise<readonly string[]> {
  const { buildProgram } = await import('../program.ts')
  const { COMMANDS } = await import('../table.ts')
  const current = words.at(-1) ?? ''
  const typed = words.slice(0, -1)
  const found = walk(
    buildProgram(() => {}),
    COMMANDS,
    typed,
  )
  if (found.valueOf !== null) return valuesOf(found.valueOf)
  if (current.startsWith('-'))
    return optionsOf(found.command).filter((option) => option.startsWith(current))
  const children = found.command.commands.filter(isShown).map((child) => child.name())
  const completes = found.spec?.completes
  if (completes === 'files') return [FILES]
  const services =
    completes === 'services' || (completes === 'service' && found.words === 0)
      ? await declaredServices(typed, globals)
      : []
  const known = completes === undefined ? [] : await knownWords(found.words, completes, globals)
  return [...children, ...services, ...known].filter((word) => word.startsWith(current))
}

const FILES = ':files'

interface Found {
  readonly command: Command
  readonly spec: CommandSpec | null
  /** Words of the command itself already typed. */
  readonly words: number
  /** The option whose value comes next. */
  readonly valueOf: Command['options'][number] | null
}

function walk(program: Command, specs: readonly CommandSpec[], typed: readonly string[]): Found {
  let found: Found = { command: program, spec: null, words: 0, valueOf: null }
  let known = specs
  for (const word of typed) {
    if (found.valueOf !== null) {
      found = { ...found, valueOf: null }
      continue
    }
    const option = found.command.options.find(({ short, long }) => word === short || word === long)
    if (option !== undefined) {
      found = { ...found, valueOf: option.required || option.optional ? option : null }
      continue
    }
    if (word.startsWith('-')) continue
    const child = found.command.commands.find((command) => command.name() === word)
    if (child === undefined || found.words > 0) {
      found = { ...found, words: found.words + 1 }
      continue
    }
    const spec = known.find(({ name }) => name === word) ?? null
    known = spec?.commands ?? []
    found = { command: child, spec, words: 0, valueOf: null }
  }
  return found
}

function valuesOf(option: NonNullable<Found['valueOf']>): readonly string[] {
  if (option.argChoices !== undefined) return option.argChoices
  return /<(path|file|folder)>/.test(option.flags) ? [FILES] : []
}

const optionsOf = (command: Command): readonly string[] =>
  [...command.options.flatMap(({ long }) => long ?? []), '--help'].sort()

const isShown = (command: Command): boolean => !command.name().startsWith('_')

async function declaredServices(typed: readonly string[], globals: Invocation['globals']) {
  try {
    const { serviceNames } = await import('../../manifest/load.ts')
    return await serviceNames(loadRequest(withTyped(typed, globals)))
  } catch {
    return []
  }
}

/** `-f other.yaml` earlier on the line says whose services are meant. */
function withTyped(typed: readonly string[], globals: Invocation['globals']) {
  const values = (short: string, long: string) =>
    typed.flatMap((word, at) => {
      if (word.startsWith(`${long}=`)) return [word.slice(long.length + 1)]
      return word === short || word === long ? (typed[at + 1] ?? []) : []
    })
  const follows = typed.includes('logs')
  const flags = flagsOf({
    file: values(follows ? '--file' : '-f', '--file'),
    profile: values('--profile', '--profile'),
    projectName: values('-p', '--project-name')[0],
  })
  return globalsOf(flags, { cwd: globals.cwd, environment: globals.environment })
}
