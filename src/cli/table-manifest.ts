import { bind, type CommandSpec } from './grammar.ts'

const manifest = async () => (await import('./commands/manifest.ts')).manifest

export const CONFIG: CommandSpec = {
  name: 'config',
  summary: 'Print the manifest as pak understands it',
  words: '[services...]',
  completes: 'services',
  examples: ['pak config', 'pak config --format json', 'pak config --services'],
  options: [
    { flags: '--format <format>', summary: 'yaml or json', choices: ['yaml', 'json'] },
    { flags: '--services', summary: 'names of services only' },
    { flags: '-q, --quiet', summary: 'only check' },
  ],
  run: bind(manifest, async () => (await import('./views/manifest.ts')).printConfig),
}

export const VALIDATE: CommandSpec = {
  name: 'validate',
  summary: 'Check the manifest; all problems at once',
  examples: ['pak validate', 'pak validate -f other.yaml -q'],
  options: [{ flags: '-q, --quiet', summary: 'only the exit status and errors' }],
  run: bind(manifest, async () => (await import('./views/manifest.ts')).printValid),
}
