import { PakError } from '../../errors.ts'
import { NAME } from '../../manifest/names.ts'
import { withoutControl } from '../../model/text.ts'
import type { Flags } from '../flags.ts'
import type { Invocation } from '../grammar.ts'
import { openAgent, peekAgent } from '../session.ts'
import { ask } from '../views/ask.ts'

/** `network create`: a network of no project, which any project may join. */
export async function create({
  flags,
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly string[]> {
  const [name = ''] = words
  const { networkOf } = await import('../../manifest/by-hand.ts')
  const network = await networkOf(checked(name), entryOf(flags))
  const agent = await openAgent(globals, interrupts.signal)
  await agent.createNetwork(network)
  return [name]
}

/** `network rm`: all of them or, where one cannot go, none. */
export async function remove({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly string[]> {
  const names = [...new Set(words.map(checked))]
  const agent = await openAgent(globals, interrupts.signal)
  await agent.removeNetworks(names)
  return names
}

/** `network prune`: whatever was made by hand and nobody is on. */
export async function prune(invocation: Invocation): Promise<readonly string[]> {
  const { flags, globals, interrupts, terminal } = invocation
  const agent = await peekAgent(globals, interrupts.signal)
  const names = agent === null ? [] : await agent.unusedNetworks()
  if (agent === null || names.length === 0) return []
  if (!flags.on('force')) {
    if (terminal.stdin.isTTY !== true || terminal.stderr.isTTY !== true)
      throw new PakError('usage', 'network prune: there is nobody to ask', {
        hint: `-f removes ${names.join(', ')} without asking`,
      })
    if (!(await ask(`remove networks ${names.join(', ')}?`, invocation))) return []
  }
  await agent.removeNetworks(names)
  return names
}

/** `network key`: what the files of other machines say of this one. */
export async function key({ globals, interrupts }: Invocation): Promise<readonly string[]> {
  const agent = await openAgent(globals, interrupts.signal)
  return [await agent.networkKey()]
}

const checked = (name: string): string => checkedName('network', name)

export function checkedName(kind: 'network' | 'volume', name: string): string {
  if (NAME.test(name)) return name
  throw new PakError('usage', `${kind} \`${withoutControl(name)}\`: not a name`, {
    hint: 'letters, digits, `_`, `.` and `-`, at most 63, the first a letter or digit',
  })
}

/** In the words of a file. */
function entryOf(flags: Flags): Readonly<Record<string, unknown>> {
  const driver = flags.text('driver')
  const labels = flags.list('label')
  const options = flags.list('opt')
  const config = [pool(flags, false), pool(flags, true)].filter((entry) => entry !== null)
  return {
    ...(driver === null ? {} : { driver }),
    ...(flags.on('ipv6') ? { enable_ipv6: true } : {}),
    ...(flags.on('internal') ? { internal: true } : {}),
    ...(flags.on('attachable') ? { attachable: true } : {}),
    ...(labels.length === 0 ? {} : { labels }),
    ...(options.length === 0 ? {} : { driver_opts: options }),
    ...(config.length === 0 ? {} : { ipam: { config } }),
  }
}

/** What is said of one family; `null`: nothing. */
function pool(flags: Flags, six: boolean): Readonly<Record<string, unknown>> | null {
  const of = (name: string) => flags.list(name).filter((text) => text.includes(':') === six)
  const [subnet, gateway, range] = ['subnet', 'gateway', 'ipRange'].map((name) => {
    const [first, second] = of(name)
    if (second === undefined) return first
    throw new PakError('usage', `network create: \`${first}\` and \`${second}\` are of one family`)
  })
  const aux = of('auxAddress').map((text) => {
    if (text.includes('=')) return text
    throw new PakError('usage', `option \`--aux-address\`: expected NAME=ADDRESS, got \`${text}\``)
  })
  const entry = {
    ...(subnet === undefined ? {} : { subnet }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(range === undefined ? {} : { ip_range: range }),
    ...(aux.length === 0 ? {} : { aux_addresses: aux }),
  }
  return Object.keys(entry).length === 0 ? null : entry
}
