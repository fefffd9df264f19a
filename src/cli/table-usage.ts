import { bind, type CommandSpec, FORMAT } from './grammar.ts'

export const STATS: CommandSpec = {
  name: 'stats',
  summary: 'Show what containers use: CPU, memory, network, disk',
  words: '[services...]',
  completes: 'services',
  examples: [
    'pak stats                    a table that moves, until ^C',
    'pak stats --no-stream web    once',
    'pak stats --total            with the sums of services and of the project',
    'pak stats --format json      once, everything that is counted',
  ],
  options: [
    { flags: '-a, --all', summary: 'containers that do not run, too' },
    { flags: '--no-stream', summary: 'once; so it is in a pipe and as JSON' },
    { flags: '--total', summary: 'the total of each service with replicas and of the project' },
    FORMAT,
  ],
  notes:
    '100% is one CPU. Memory is the working set: all that is charged less idle file cache. Processes of\n' +
    'pak exec are in it. THROTTLED is how long the CPU limit has held the container back.',
  run: bind(
    async () => (await import('./commands/stats.ts')).stats,
    async () => (await import('./views/stats.ts')).printStats,
  ),
}

export const TOP: CommandSpec = {
  name: 'top',
  summary: 'List the processes of containers, those of exec too',
  words: '[services...]',
  completes: 'services',
  examples: ['pak top', 'pak top web', 'pak top --format json'],
  options: [FORMAT],
  run: bind(
    async () => (await import('./commands/stats.ts')).top,
    async () => (await import('./views/stats.ts')).printTop,
  ),
}
