import { bind, type CommandSpec, FORMAT } from './grammar.ts'
import { SINCE, UNTIL } from './table-look.ts'

export const EVENTS: CommandSpec = {
  name: 'events',
  summary: 'Show what happens to the project, and why',
  examples: [
    'pak events                  from now on',
    'pak events --since 1h       of the last hour',
    'pak events --follow --since 1h --format json',
    'pak events --since 1d --filter type=container.oom',
  ],
  options: [
    { flags: '--follow', summary: 'go on; so it is without --since and --until' },
    SINCE,
    UNTIL,
    { flags: '--all-projects', summary: 'of every project of this root' },
    {
      flags: '--filter <key=value>',
      summary: 'service, type (container.exited, or container) or reason; all must fit',
      repeats: true,
    },
    FORMAT,
  ],
  run: bind(
    async () => (await import('./commands/look.ts')).events,
    async () => (await import('./views/look.ts')).printEvents,
  ),
}

export const HISTORY: CommandSpec = {
  name: 'history',
  summary: 'Show the plans that were applied, and what came of them',
  words: '[service]',
  completes: 'service',
  examples: [
    'pak history                 the last 20',
    'pak history web             those that touched web',
    'pak history --since 1d --format json',
  ],
  options: [
    { flags: '-n, --tail <plans>', summary: 'the last ones, or all (default 20)' },
    SINCE,
    UNTIL,
    FORMAT,
  ],
  notes:
    'Kept for each project in two files of 512 KiB, also after down, until something has happened to a\n' +
    'hundred other projects.',
  run: bind(
    async () => (await import('./commands/past.ts')).history,
    async () => (await import('./views/past.ts')).printHistory,
  ),
}

export const EXPLAIN: CommandSpec = {
  name: 'explain',
  summary: 'Say why a service runs, or why it does not',
  words: '<service>',
  completes: 'service',
  examples: ['pak explain web', 'pak explain web --format json'],
  options: [FORMAT],
  run: bind(
    async () => (await import('./commands/past.ts')).explainService,
    async () => (await import('./views/explain.ts')).printExplanation,
  ),
}
