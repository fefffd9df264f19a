import type { LoadedProject } from '../../manifest/load.ts'
import type { Invocation } from '../grammar.ts'

/** `config`: the normalised manifest, in its own vocabulary. */
export async function printConfig(
  { desired, normalized }: LoadedProject,
  { flags, terminal }: Invocation,
): Promise<undefined> {
  if (flags.on('quiet')) return
  if (flags.on('services')) {
    await terminal.print(desired.services.map(({ name }) => `${name}\n`).join(''))
    return
  }
  if (flags.text('format') === 'json') {
    await terminal.print(`${JSON.stringify(normalized(), null, 2)}\n`)
    return
  }
  const { manifestText } = await import('../../manifest/text.ts')
  await terminal.print(manifestText(normalized()))
}

/** `validate`: one line that says what was read. */
export async function printValid(
  { desired, files }: LoadedProject,
  { flags, terminal }: Invocation,
): Promise<undefined> {
  if (flags.on('quiet')) return
  const count = (items: readonly unknown[], word: string) =>
    `${items.length} ${word}${items.length === 1 ? '' : 's'}`
  const what = [
    count(desired.services, 'service'),
    count(desired.networks, 'network'),
    count(desired.volumes, 'volume'),
  ]
  await terminal.print(`${files.join(', ')}: ${desired.project} is valid, ${what.join(', ')}\n`)
}
