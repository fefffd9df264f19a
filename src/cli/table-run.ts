import type { Action } from '../agent/wire.ts'
import { bind, type CommandSpec, FORMAT, type Invocation, type OptionSpec } from './grammar.ts'

const progress = async () => (await import('./views/progress.ts')).printProgress
const plan = bind(
  async () => (await import('./commands/plan.ts')).plan,
  async () => (await import('./views/plan.ts')).printPlan,
)
const up = bind(async () => (await import('./commands/up.ts')).up, progress)

const GRACE: OptionSpec = {
  flags: '-t, --timeout <seconds>',
  summary: 'grace before SIGKILL, instead of each one’s own',
}
const QUIET: OptionSpec = { flags: '-q, --quiet', summary: 'errors only' }
const SCALE: OptionSpec = {
  flags: '--scale <service=n>',
  summary: 'another number of replicas',
  repeats: true,
}
const PLANNING: readonly OptionSpec[] = [
  { flags: '--force-recreate', summary: 'make containers anew though nothing differs' },
  { flags: '--no-deps', summary: 'leave alone what the services depend on' },
  { flags: '--remove-orphans', summary: 'remove containers that the file does not have' },
  SCALE,
  GRACE,
]

export const UP: CommandSpec = {
  name: 'up',
  summary: 'Make this machine look like pak.yaml',
  words: '[services...]',
  completes: 'services',
  examples: [
    'pak up -d                     start or update everything, then return',
    'pak up                        the same, and show the logs until ^C stops it',
    'pak up -d --wait web          only web and what it needs, until it is healthy',
    'pak up -d --plan today.json   apply a saved plan, or refuse',
  ],
  options: [
    { flags: '-d, --detach', summary: 'return when everything is started' },
    { flags: '--wait', summary: 'return when everything is healthy or running; implies -d' },
    { flags: '--wait-timeout <seconds>', summary: 'bound of every wait (default 300)' },
    ...PLANNING,
    { flags: '--dry-run', summary: 'show the plan and change nothing' },
    { flags: '--plan <file>', summary: 'apply just this plan, from pak plan -o' },
    { flags: '-y, --yes', summary: 'do not ask before data is destroyed' },
    { flags: '--no-log-prefix', summary: 'lines without the name of their container' },
    { flags: '--no-color', summary: 'names in one colour' },
    { flags: '--timestamps', summary: 'the time before each line' },
    QUIET,
  ],
  run: (invocation: Invocation) => (invocation.flags.on('dryRun') ? plan : up)(invocation),
}

export const DOWN: CommandSpec = {
  name: 'down',
  summary: 'Stop and remove what up has made; volumes stay',
  examples: [
    'pak down          containers, networks and rules go; volumes stay',
    'pak down -v       volumes go too, with their data',
    'pak down -t 1     a second of grace for everything',
  ],
  options: [
    { flags: '-v, --volumes', summary: 'remove volumes and the data in them' },
    GRACE,
    { flags: '--remove-orphans', summary: 'also containers that the file does not have' },
    QUIET,
  ],
  run: bind(async () => (await import('./commands/down.ts')).down, progress),
}

export const PLAN: CommandSpec = {
  name: 'plan',
  summary: 'Show what up would do, and why',
  words: '[services...]',
  completes: 'services',
  examples: [
    'pak plan                        what would happen, in order, with reasons',
    'pak plan --detailed-exitcode    0: nothing to do, 2: changes, 1: error',
    'pak plan -o today.json          save it for pak up --plan today.json',
    'pak plan --simulate             on an empty host in memory; needs no root',
  ],
  options: [
    FORMAT,
    { flags: '--detailed-exitcode', summary: '0 nothing to do, 2 changes, 1 error' },
    { flags: '-o, --output <file>', summary: 'save the plan; it holds the environment, mode 0600' },
    { flags: '--simulate', summary: 'plan and apply on an empty host in memory' },
    ...PLANNING,
  ],
  run: plan,
}

export const START = action('start', 'Start containers that exist', [])
export const STOP = action('stop', 'Stop containers and keep them', [GRACE])
export const RESTART = action('restart', 'Stop and start containers', [GRACE])
export const KILL = action('kill', 'Send a signal to containers', [
  { flags: '-s, --signal <name>', summary: 'default SIGKILL' },
])
export const SCALE_TO: CommandSpec = {
  name: 'scale',
  summary: 'Run another number of replicas, until the next up',
  words: '<service=n...>',
  completes: 'services',
  examples: [
    'pak scale web=3            three of web',
    'pak scale web=3 worker=0   none of worker',
  ],
  options: [
    { flags: '--no-deps', summary: 'leave alone what the services depend on' },
    GRACE,
    QUIET,
  ],
  notes: 'What the file says counts again with the next plain pak up.',
  run: bind(async () => (await import('./commands/scale.ts')).scale, progress),
}
export const WAIT: CommandSpec = {
  name: 'wait',
  summary: 'Wait until services end, and print their exit codes',
  words: '<services...>',
  completes: 'services',
  examples: [
    'pak wait migrate              the exit status is its exit code',
    'pak wait --down-project test  then take everything down',
  ],
  options: [
    { flags: '--down-project', summary: 'take the project down when the first container ends' },
    QUIET,
  ],
  notes: "One exit code a line; pak's exit status is the last one.",
  run: async (invocation) => (await import('./commands/wait-end.ts')).wait(invocation),
}
export const ROLLBACK: CommandSpec = {
  name: 'rollback',
  summary: 'Go back to what services were before their last update',
  words: '[services...]',
  completes: 'services',
  examples: [
    'pak rollback          every service that an up has changed',
    'pak rollback web      only this one',
  ],
  options: [QUIET],
  notes:
    'The image by its digest, and the configuration. What the file says counts again with the next pak up.',
  run: bind(async () => (await import('./commands/rollback.ts')).rollback, progress),
}
export const PAUSE = action('pause', 'Freeze containers where they are', [])
export const UNPAUSE = action('unpause', 'Let paused containers go on', [])
export const RM = action('rm', 'Remove containers that have stopped', [
  { flags: '-f, --force', summary: 'no question; accepted for Compose’s sake, pak asks none' },
  { flags: '-s, --stop', summary: 'stop first what still runs' },
])

function action(name: Action, summary: string, options: readonly OptionSpec[]): CommandSpec {
  return {
    name,
    summary,
    words: '[services...]',
    completes: 'services',
    examples: [`pak ${name}          every service`, `pak ${name} web      only this one`],
    options: [...options, QUIET],
    run: bind(async () => (await import('./commands/action.ts')).act(name), progress),
  }
}
