import { bind, type CommandSpec, FORMAT, type OptionSpec } from './grammar.ts'

const NAMES_ONLY: OptionSpec = { flags: '-q, --quiet', summary: 'names only' }
export const SINCE: OptionSpec = {
  flags: '--since <time>',
  summary: '10m, RFC 3339, or seconds since 1970',
}
export const UNTIL: OptionSpec = { flags: '--until <time>', summary: 'the same; up to then' }
const json = async () => (await import('./views/look.ts')).printJson

export const PS: CommandSpec = {
  name: 'ps',
  summary: "List the project's containers; outside a project's folder, all",
  words: '[services...]',
  completes: 'services',
  examples: [
    'pak ps                        what runs',
    'pak ps -a                     what has ended, too, and how',
    'pak ps --filter state=stopped',
    'pak ps -a --format json',
  ],
  options: [
    { flags: '-a, --all', summary: 'in every state' },
    NAMES_ONLY,
    {
      flags: '--filter <key=value>',
      summary: 'service, name, state or health; all must fit',
      repeats: true,
    },
    FORMAT,
  ],
  run: bind(
    async () => (await import('./commands/ps.ts')).ps,
    async () => (await import('./views/ps.ts')).printContainers,
  ),
}

export const LOGS: CommandSpec = {
  name: 'logs',
  summary: 'Show what containers have written',
  words: '[services...]',
  completes: 'services',
  examples: [
    'pak logs -f                 everything, and what comes',
    'pak logs -n 100 web db      the last 100 lines of each',
    'pak logs --since 10m -t     of the last ten minutes, with times',
  ],
  options: [
    { flags: '-f, --follow', summary: 'go on, also when containers are recreated or new' },
    { flags: '-n, --tail <lines>', summary: 'the last lines of each container, or all' },
    { flags: '-t, --timestamps', summary: 'the time before each line' },
    SINCE,
    UNTIL,
    { flags: '--no-log-prefix', summary: 'lines without the name of their container' },
    { flags: '--no-color', summary: 'names in one colour' },
  ],
  notes:
    'In a pipe the bytes are as the container wrote them. On a terminal, sequences that do more than\n' +
    'colour are left out. -f after logs follows; name the manifest with --file, or before: pak -f FILE logs.',
  run: bind(
    async () => (await import('./commands/logs.ts')).logs,
    async () => (await import('./views/logs.ts')).printLogs,
  ),
}

const PROCESS: readonly OptionSpec[] = [
  { flags: '-i, --interactive', summary: 'keep standard input; it always is' },
  { flags: '-t, --tty', summary: 'with a terminal; it is when pak has one' },
  { flags: '-T, --no-tty', summary: 'without a terminal' },
  {
    flags: '-e, --env <name=value>',
    summary: 'a variable; NAME alone hands on yours',
    repeats: true,
  },
  { flags: '-u, --user <user>', summary: 'name or number, with :group' },
  { flags: '-w, --workdir <folder>', summary: 'working folder' },
]

export const EXEC: CommandSpec = {
  name: 'exec',
  summary: 'Run a command in a running container',
  words: '<service> <command...>',
  completes: 'service',
  passThrough: true,
  ownExitStatus: 125,
  examples: [
    'pak exec web sh                     a shell, on a terminal with one',
    'pak exec -T db dump > dump.sql      no terminal: bytes as they are',
    'pak exec --index 2 -u nobody web id',
  ],
  options: [...PROCESS, { flags: '--index <n>', summary: 'which replica (default 1)' }],
  notes:
    "The exit status is the command's; 125: pak itself, 126: it cannot be executed, 127: not found,\n" +
    '128+n: ended by signal n.',
  run: async (invocation) => (await import('./commands/exec.ts')).exec(invocation),
}

export const RUN: CommandSpec = {
  name: 'run',
  summary: 'Run a command in a new container, set up as a service is',
  words: '<service> [command...]',
  completes: 'service',
  passThrough: true,
  ownExitStatus: 125,
  examples: [
    'pak run --rm web sh            a shell beside web, on a terminal with one',
    'pak run --rm -T db dump > d.sql',
    'pak run --no-deps web test     without what web depends on',
  ],
  options: [
    { flags: '--rm', summary: 'remove the container when the command has ended' },
    ...PROCESS,
    {
      flags: '--name <name>',
      summary: 'of the container; default <project>-<service>-run-<8 hex>',
    },
    { flags: '--no-deps', summary: 'do not start what the service depends on' },
    { flags: '--service-ports', summary: "publish the service's ports" },
    {
      flags: '--entrypoint <command>',
      summary: "instead of the service's, whose command goes, too",
    },
    { flags: '-q, --quiet', summary: 'errors only' },
  ],
  notes:
    'It is no replica: up, stop and restart leave it alone, down removes it. It has names and addresses\n' +
    "of its own. The exit status is the command's; 125: pak itself, 126, 127, 128+n: as pak exec.",
  run: async (invocation) => (await import('./commands/run.ts')).run(invocation),
}

export const CP: CommandSpec = {
  name: 'cp',
  summary: 'Copy files into a container or out of it, running or not',
  words: '<from> <to>',
  completes: 'files',
  examples: [
    'pak cp web:/etc/nginx ./nginx      out of it',
    'pak cp site/. web:/srv             what is in site, into /srv',
    'pak cp web:/data - > data.tar      as a tar',
  ],
  options: [
    { flags: '-a, --archive', summary: 'into it with the owners that files have here; else root' },
    { flags: '--index <n>', summary: 'which replica (default 1)' },
  ],
  notes:
    'Links are followed inside the container only. Of one that does not run only its own layers are there,\n' +
    'not its volumes.',
  run: async (invocation) => (await import('./commands/cp.ts')).cp(invocation),
}

export const INSPECT: CommandSpec = {
  name: 'inspect',
  summary: 'Show all that pak knows of the project, as JSON',
  words: '[services...]',
  completes: 'services',
  examples: ['pak inspect', 'pak inspect web'],
  run: bind(async () => (await import('./commands/look.ts')).inspect, json),
}

const images = async () => (await import('./views/lists.ts')).printImages
const names = async () => (await import('./views/lists.ts')).printNames

export const IMAGE: CommandSpec = {
  name: 'image',
  summary: 'Load, import, list and remove images',
  examples: ['pak image load -i app.tar', 'pak image ls', 'pak image rm app:1'],
  commands: [
    {
      name: 'load',
      summary: 'Load an OCI layout (folder or tar) or a docker-archive',
      examples: ['pak image load -i app.tar', 'zcat app.tar.gz | pak image load'],
      options: [{ flags: '-i, --input <file>', summary: 'instead of standard input' }, FORMAT],
      run: bind(async () => (await import('./commands/image.ts')).load, images),
    },
    {
      name: 'import',
      summary: 'Make an image of one layer from a tar of a root file system',
      words: '<file> <reference>',
      completes: 'files',
      examples: [
        'pak image import root.tar base:1',
        'tar -C root -c . | pak image import - base:1',
      ],
      options: [FORMAT],
      run: bind(async () => (await import('./commands/image.ts')).importRoot, images),
    },
    {
      name: 'ls',
      summary: 'List the local images',
      examples: ['pak image ls', 'pak image ls --format json'],
      options: [NAMES_ONLY, FORMAT],
      run: bind(async () => (await import('./commands/image.ts')).list, images),
    },
    {
      name: 'rm',
      summary: 'Remove images that no container uses',
      words: '<references...>',
      examples: ['pak image rm app:1'],
      run: bind(async () => (await import('./commands/image.ts')).remove, names),
    },
  ],
}
