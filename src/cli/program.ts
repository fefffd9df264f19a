import { Command, CommanderError, Help, Option } from 'commander'
import { version } from '../agent/version.ts'
import { PakError } from '../errors.ts'
import { flagsOf } from './flags.ts'
import { globalsOf } from './globals.ts'
import { type CommandSpec, GLOBAL_OPTIONS, type OptionSpec } from './grammar.ts'
import { processInterrupts } from './interrupts.ts'
import { COMMANDS } from './table.ts'
import { processTerminal, type Terminal } from './terminal.ts'
import { printError } from './views/error.ts'

type Values = Record<string, unknown>

interface Chosen {
  readonly spec: CommandSpec
  readonly words: readonly string[]
  readonly values: Values
}

/** Runs one command line; resolves to the exit status and never rejects. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const environment = process.env
  let chosen: Chosen | null = null
  let terminal: Terminal | null = null
  try {
    chosen = parse(args)
    if (chosen === null) return 0
    const flags = flagsOf(chosen.values)
    terminal = processTerminal({ environment, ansi: flags.text('ansi') })
    const globals = globalsOf(flags, { cwd: process.cwd(), environment })
    const interrupts = processInterrupts()
    const { run } = chosen.spec
    if (run === undefined) throw new Error(`command ${chosen.spec.name} has no code`)
    return await run({ words: chosen.words, flags, globals, terminal, interrupts })
  } catch (error) {
    terminal ??= processTerminal({ environment, ansi: null })
    const exitStatus = printError(error, terminal)
    return ownExitStatus(chosen?.spec ?? null, args, exitStatus)
  }
}

/** The command that was meant, or null when commander has answered by itself (help, version). */
export function parse(args: readonly string[]): Chosen | null {
  // To build them all takes longer than many a command; only help, and what went wrong, speak of all.
  const named = args.some((word) => HELP.has(word))
    ? []
    : COMMANDS.filter(({ name }) => args.includes(name))
  return (named.length > 0 ? parseAmong(named, args) : null) ?? parseAmong(COMMANDS, args)
}

const HELP: ReadonlySet<string> = new Set(['help', '--help', '-h'])

function parseAmong(commands: readonly CommandSpec[], args: readonly string[]): Chosen | null {
  let chosen: Chosen | null = null
  const program = buildProgram((found) => {
    chosen = found
  }, commands)
  if (args.length === 0) {
    program.outputHelp()
    return null
  }
  try {
    program.parse([...args], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (commands !== COMMANDS) return null
    if (error.exitCode === 0) return null
    throw usageError(error, args)
  }
  return chosen
}

/** The grammar as commander has it; whole, it is also what completion walks. */
export function buildProgram(
  onChosen: (chosen: Chosen) => void,
  commands: readonly CommandSpec[] = COMMANDS,
): Command {
  const program = new Command('pak')
    .description(overview())
    .usage('[options] <command>')
    .enablePositionalOptions()
    .configureHelp({
      showGlobalOptions: false,
      subcommandTerm: (command) => command.name(),
      formatHelp: (command, help) => {
        const text = new Help().formatHelp(command, help)
        // The overview lists the commands already, above the options.
        return command.parent === null ? text.slice(0, text.lastIndexOf('\nCommands:')) : text
      },
    })
    .configureOutput({ outputError: () => {}, writeErr: () => {} })
    .exitOverride()
    .helpCommand('help [command]', 'show the help of a command')
  program.version(`pak ${version()}`, '-V, --version', 'print the version')
  addGlobals(program, [])
  for (const spec of commands) addCommand(program, spec, onChosen)
  return program
}

function addCommand(parent: Command, spec: CommandSpec, onChosen: (chosen: Chosen) => void): void {
  const command = parent.command(spec.name, { hidden: spec.hidden === true })
  command.summary(spec.summary).description(exampleText(spec))
  for (const option of spec.options ?? []) command.addOption(asOption(option))
  addGlobals(command, spec.options ?? [])
  if (spec.notes !== undefined) command.addHelpText('after', `\n${spec.notes}`)
  if (spec.words !== undefined) command.arguments(spec.words)
  if (spec.passThrough === true) command.passThroughOptions()
  for (const child of spec.commands ?? []) addCommand(command, child, onChosen)
  if ((spec.commands ?? []).length > 0) command.enablePositionalOptions()
  if (spec.run === undefined) return
  command.action(() => onChosen({ spec, words: command.args, values: mergedValues(command) }))
}

function overview(): string {
  const shown = COMMANDS.filter(({ hidden }) => hidden !== true)
  const width = Math.max(...shown.map(({ name }) => name.length))
  return [
    'Containers on this machine, as pak.yaml says.',
    '',
    'Examples:',
    '  pak up -d      make this machine look like pak.yaml, and return',
    '  pak plan       what up would do, and why',
    '  pak logs -f    what the containers write',
    '  pak down       stop and remove it all; volumes stay',
    '',
    'Commands:',
    ...shown.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
  ].join('\n')
}

const exampleText = (spec: CommandSpec): string =>
  ['Examples:', ...spec.examples.map((line) => `  ${line}`), '', `${spec.summary}.`].join('\n')

function asOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.summary)
  if (spec.choices !== undefined) option.choices([...spec.choices])
  if (spec.repeats === true) option.argParser(collect)
  return option
}

const collect = (value: string, before: unknown): readonly string[] =>
  Array.isArray(before) ? [...before, value] : [value]

/** A command's own short or long option wins: `logs -f` follows. */
function addGlobals(command: Command, own: readonly OptionSpec[]): void {
  const taken = new Set(own.flatMap((option) => option.flags.match(/-{1,2}[\w-]+/g) ?? []))
  for (const spec of GLOBAL_OPTIONS) {
    const kept = spec.flags.split(', ').filter((flag) => !taken.has(flag.split(' ')[0] ?? ''))
    if (kept.length === 0) continue
    command.addOption(
      asOption({ ...spec, flags: kept.join(', ') }).helpGroup('Options of every command:'),
    )
  }
}

/** The nearest word counts: an option after the command wins over the same one before it. */
function mergedValues(command: Command): Values {
  const before = command.parent === null ? {} : mergedValues(command.parent)
  return { ...before, ...command.opts<Values>() }
}

function usageError(error: CommanderError, args: readonly string[]): PakError {
  if (error.code === 'commander.help') return incomplete(args)
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  const suggestion = /Did you mean (.+?)\?/.exec(rest.join(' '))?.[1]
  const command = COMMANDS.find(({ name }) => args.includes(name))
  return new PakError('usage', first.replaceAll("'", '`').replace(/\.$/, ''), {
    hint:
      suggestion === undefined
        ? `pak ${command === undefined ? '' : `${command.name} `}--help shows how`
        : `did you mean \`${suggestion.replace(/^one of /, '')}\`?`,
  })
}

/** `pak image`: a word that needs another one. */
function incomplete(args: readonly string[]): PakError {
  const group = COMMANDS.find(({ name, commands }) => commands !== undefined && args.includes(name))
  const names = (group?.commands ?? COMMANDS).map(({ name }) => `\`${name}\``).join(', ')
  return new PakError('usage', `${group?.name ?? 'pak'}: expected one of ${names}`)
}

/** 126 and 127 say something of a command that pak ran for its caller: only where there is one. */
function ownExitStatus(
  spec: CommandSpec | null,
  args: readonly string[],
  exitStatus: number,
): number {
  const named = spec ?? COMMANDS.find(({ name }) => args.includes(name)) ?? null
  const ofCommand = exitStatus === 126 || exitStatus === 127
  if (named?.ownExitStatus === undefined) return ofCommand ? 1 : exitStatus
  return ofCommand ? exitStatus : named.ownExitStatus
}
