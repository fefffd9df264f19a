import { bind, type CommandSpec, FORMAT } from './grammar.ts'

const json = async () => (await import('./views/look.ts')).printJson
const names = async () => (await import('./views/lists.ts')).printNames

const nothing = async () => () => undefined

const CREATE: CommandSpec = {
  name: 'create',
  summary: 'Make a network that is no project’s, for several to join',
  words: '<name>',
  examples: [
    'pak network create edge',
    'pak network create --subnet 10.9.0.0/16 --ip-range 10.9.1.0/24 edge',
    'pak network create --ipv6 --internal -o mtu=1400 edge',
  ],
  options: [
    { flags: '-d, --driver <name>', summary: 'default bridge' },
    {
      flags: '--subnet <cidr>',
      summary: 'default: one that is free; one of each family',
      repeats: true,
    },
    { flags: '--ip-range <cidr>', summary: 'pick addresses only from here', repeats: true },
    { flags: '--gateway <address>', summary: 'of this host on the network', repeats: true },
    {
      flags: '--aux-address <name=address>',
      summary: 'give this address to nobody',
      repeats: true,
    },
    { flags: '--ipv6', summary: 'IPv6 besides IPv4' },
    { flags: '--internal', summary: 'no way out' },
    { flags: '--attachable', summary: 'accepted for Docker’s sake: every project may join it' },
    { flags: '--label <name=value>', summary: 'a label', repeats: true },
    { flags: '-o, --opt <name=value>', summary: 'as driver_opts of a file', repeats: true },
  ],
  notes:
    'A file joins it with `networks: { edge: { external: true } }`; containers of all projects on it reach each\n' +
    'other by name. It stays until pak network rm, also over a reboot.',
  run: bind(async () => (await import('./commands/network-hand.ts')).create, names),
}

export const NETWORK: CommandSpec = {
  name: 'network',
  summary: 'Networks: make them for several projects, see who is on them',
  examples: ['pak network create edge', 'pak network ls', 'pak network inspect front'],
  commands: [
    CREATE,
    {
      name: 'ls',
      summary: 'List the networks of every project of this root',
      examples: ['pak network ls', 'pak network ls --format json'],
      options: [{ flags: '-q, --quiet', summary: 'names only' }, FORMAT],
      run: bind(
        async () => (await import('./commands/look.ts')).networks,
        async () => (await import('./views/lists.ts')).printNetworks,
      ),
    },
    {
      name: 'inspect',
      summary: 'Show networks, and who has which address there',
      words: '[networks...]',
      completes: 'networks',
      examples: [
        'pak network inspect                 those of the project',
        'pak network inspect front edge      of the project, or made by hand',
        'pak network inspect shop/front      of another project',
      ],
      run: bind(async () => (await import('./commands/network.ts')).inspect, json),
    },
    {
      name: 'rm',
      summary: 'Remove networks made with pak network create',
      words: '<networks...>',
      completes: 'hand networks',
      examples: ['pak network rm edge'],
      run: bind(async () => (await import('./commands/network-hand.ts')).remove, names),
    },
    {
      name: 'prune',
      summary: 'Remove those of them that no container is on',
      examples: ['pak network prune', 'pak network prune -f'],
      options: [{ flags: '-f, --force', summary: 'do not ask' }],
      run: bind(async () => (await import('./commands/network-hand.ts')).prune, names),
    },
    {
      name: 'connect',
      summary: 'Put a container on one more network, running or not',
      words: '<network> <container>',
      completes: 'network and container',
      examples: [
        'pak network connect edge shop-web-1',
        'pak network connect --alias www --ip 10.9.1.7 edge shop-web-1',
        'pak network connect shop/front blog-web-1    where shop lets it',
      ],
      options: [
        { flags: '--ip <address>', summary: 'its IPv4 address there; default: one that is free' },
        { flags: '--ip6 <address>', summary: 'its IPv6 address there' },
        { flags: '--alias <name>', summary: 'one more name there', repeats: true },
      ],
      notes:
        'It stays there over restarts, until pak network disconnect or until the container is made anew; pak plan\n' +
        'says so. On that network it answers to its own name and its aliases.',
      run: bind(async () => (await import('./commands/network-connect.ts')).connect, nothing),
    },
    {
      name: 'disconnect',
      summary: 'Take a container off a network',
      words: '<network> <container>',
      completes: 'network and container',
      examples: ['pak network disconnect edge shop-web-1'],
      options: [{ flags: '-f, --force', summary: 'no error where it is not on it, or not there' }],
      run: bind(async () => (await import('./commands/network-connect.ts')).disconnect, nothing),
    },
    {
      name: 'key',
      summary: 'Show this machine’s public key, for encrypted networks',
      examples: ['pak network key'],
      notes:
        'It is made when there is none, and stays. Files say it under `peers`, as `public_key`.',
      run: bind(async () => (await import('./commands/network-hand.ts')).key, names),
    },
    {
      name: 'policy',
      summary: 'Show who may talk to whom, and what each rule has dropped',
      words: '[networks|services...]',
      examples: ['pak network policy', 'pak network policy db --format json'],
      options: [FORMAT],
      run: bind(
        async () => (await import('./commands/network-policy.ts')).policy,
        async () => (await import('./views/network-policy.ts')).printPolicy,
      ),
    },
  ],
}
