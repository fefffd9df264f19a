import { bind, type CommandSpec, FORMAT } from './grammar.ts'

const json = async () => (await import('./views/look.ts')).printJson
const names = async () => (await import('./views/lists.ts')).printNames

export const VOLUME: CommandSpec = {
  name: 'volume',
  summary: 'Volumes: make them for several projects, list and remove them',
  examples: ['pak volume create archive', 'pak volume ls', 'pak volume rm data'],
  commands: [
    {
      name: 'create',
      summary: 'Make a volume of no project, for whoever names it',
      words: '<name>',
      examples: ['pak volume create archive', 'pak volume create --label team=shop archive'],
      options: [{ flags: '--label <name=value>', summary: 'a label', repeats: true }],
      notes:
        'A file has it with `volumes: { archive: { external: true } }`. Neither pak down -v nor a reboot removes it:\n' +
        'only pak volume rm and pak volume prune do.',
      run: bind(async () => (await import('./commands/volume.ts')).create, names),
    },
    {
      name: 'ls',
      summary: 'List the volumes of every project of this root',
      examples: ['pak volume ls', 'pak volume ls --format json'],
      options: [{ flags: '-q, --quiet', summary: 'names only' }, FORMAT],
      run: bind(
        async () => (await import('./commands/look.ts')).volumes,
        async () => (await import('./views/lists.ts')).printVolumes,
      ),
    },
    {
      name: 'inspect',
      summary: 'Show volumes, and which containers have them',
      words: '[volumes...]',
      completes: 'volumes',
      examples: [
        'pak volume inspect                 those of the project',
        'pak volume inspect data archive    of the project, or made by hand',
        'pak volume inspect shop/data       of another project',
      ],
      run: bind(async () => (await import('./commands/volume.ts')).inspect, json),
    },
    {
      name: 'rm',
      summary: 'Remove volumes and their data',
      words: '<volumes...>',
      completes: 'volumes',
      examples: ['pak volume rm data', 'pak volume rm archive', 'pak volume rm shop/data'],
      notes: "The project's own comes before one made by hand. What a container has stays.",
      run: bind(async () => (await import('./commands/volume.ts')).remove, names),
    },
    {
      name: 'prune',
      summary: 'Remove those made with pak volume create that no container has',
      examples: ['pak volume prune', 'pak volume prune -f', 'pak volume prune --all'],
      options: [
        { flags: '-a, --all', summary: 'those of projects, too, also of ones that are down' },
        { flags: '-f, --force', summary: 'do not ask' },
      ],
      run: bind(async () => (await import('./commands/volume.ts')).prune, names),
    },
  ],
}
