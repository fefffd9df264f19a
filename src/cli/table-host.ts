import { bind, type CommandSpec, FORMAT } from './grammar.ts'

const text = async () => (await import('./views/look.ts')).printText

export const DOCTOR: CommandSpec = {
  name: 'doctor',
  summary: 'Show what this host can and lacks',
  examples: [
    'pak doctor              every check, with what to do',
    'pak doctor --install    install the packages that are missing',
  ],
  options: [{ flags: '--install', summary: 'install what is missing, after saying what' }, FORMAT],
  run: bind(
    async () => (await import('./commands/doctor.ts')).doctor,
    async () => (await import('./views/doctor.ts')).printDoctor,
  ),
}

export const AGENT: CommandSpec = {
  name: 'agent',
  summary: 'See to the process that looks after containers',
  examples: ['pak agent status', 'pak agent stop    containers run on'],
  commands: [
    {
      name: 'status',
      summary: 'Show the agent of this root; exit status 1 when none runs',
      examples: ['pak agent status', 'pak agent status --format json'],
      options: [FORMAT],
      run: bind(
        async () => (await import('./commands/agent.ts')).status,
        async () => (await import('./views/look.ts')).printAgent,
      ),
    },
    {
      name: 'start',
      summary: 'Start it; the first command that needs it does so by itself',
      examples: ['pak agent start'],
      options: [
        { flags: '--stay', summary: 'it stays when there is nothing to look after' },
        FORMAT,
      ],
      run: bind(
        async () => (await import('./commands/agent.ts')).start,
        async () => (await import('./views/look.ts')).printAgent,
      ),
    },
    {
      name: 'stop',
      summary: 'Stop it; containers run on',
      examples: ['pak agent stop'],
      run: bind(
        async () => (await import('./commands/agent.ts')).stop,
        async () => (await import('./views/look.ts')).printStopped,
      ),
    },
    {
      name: 'install',
      summary: 'Have systemd start it at boot: writes and enables a unit',
      examples: ['pak agent install', 'pak agent install --print    shows the unit only'],
      options: [{ flags: '--print', summary: 'print the unit, change nothing' }],
      run: bind(async () => (await import('./commands/agent-unit.ts')).install, text),
    },
    {
      name: 'uninstall',
      summary: 'Take that unit away; containers run on',
      examples: ['pak agent uninstall'],
      run: bind(async () => (await import('./commands/agent-unit.ts')).uninstall, text),
    },
    {
      name: 'run',
      summary: 'Run it in the foreground, for a service manager',
      examples: ['pak agent run'],
      run: async ({ globals }) => {
        const { superviseInForeground } = await import('../agent/launch.ts')
        const { rootsOf } = await import('./session.ts')
        return superviseInForeground(rootsOf(globals), { stay: true })
      },
    },
  ],
}

export const COMPLETION: CommandSpec = {
  name: 'completion',
  summary: 'Print the completion script of a shell',
  words: '<shell>',
  examples: [
    'source <(pak completion bash)',
    'source <(pak completion zsh)',
    'pak completion fish | source',
  ],
  run: bind(async () => (await import('./commands/completion.ts')).completion, text),
}

export const COMPLETE: CommandSpec = {
  name: '__complete',
  summary: 'Candidates for the last word, for the shells',
  words: '[words...]',
  hidden: true,
  passThrough: true,
  examples: ['pak __complete -- ps we'],
  run: bind(
    async () => (await import('./commands/complete.ts')).complete,
    async () => (await import('./views/lists.ts')).printNames,
  ),
}

export const SCHEMA: CommandSpec = {
  name: 'schema',
  summary: 'Print the JSON schema of pak.yaml',
  examples: ['pak schema > pak.schema.json'],
  run: bind(async () => (await import('./commands/manifest.ts')).schema, text),
}

export const VERSION: CommandSpec = {
  name: 'version',
  summary: 'Print the version',
  examples: ['pak version', 'pak version --format json'],
  options: [FORMAT],
  run: async ({ flags, terminal }) => {
    const { version } = await import('../agent/version.ts')
    const json = flags.text('format') === 'json'
    await terminal.print(
      json ? `${JSON.stringify({ version: version() })}\n` : `pak ${version()}\n`,
    )
    return 0
  },
}
