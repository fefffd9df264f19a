import { isIPv4 } from 'node:net'
import { PakError } from '../../errors.ts'
import { NAME } from '../../manifest/names.ts'
import type { Attachment } from '../../model/desired.ts'
import { formatIpv6, parseIpv6 } from '../../model/ipv6.ts'
import type { ObservedState } from '../../model/observed.ts'
import { foreignName, isForeign, placeOf, SHARED } from '../../model/shared.ts'
import { withoutControl } from '../../model/text.ts'
import type { Flags } from '../flags.ts'
import type { Invocation } from '../grammar.ts'
import { projectHere } from '../project.ts'
import { openAgent } from '../session.ts'

/** `network connect`: for a container that runs, at once; for another from its next start on. */
export async function connect(invocation: Invocation): Promise<void> {
  const [network = '', container = ''] = invocation.words
  const ends = endsOf(invocation.flags)
  const { agent, project, called } = await meant(invocation, { network, container })
  await agent.connect(project, container, { network: called, ...ends })
}

/** `network disconnect`; with `-f` what is not there is disconnected. */
export async function disconnect(invocation: Invocation): Promise<void> {
  const [network = '', container = ''] = invocation.words
  try {
    const { agent, project, called } = await meant(invocation, { network, container })
    await agent.disconnect(project, container, called)
  } catch (error) {
    const isNotThere = error instanceof PakError && error.code === 'not_found'
    if (!isNotThere || !invocation.flags.on('force')) throw error
  }
}

function endsOf(flags: Flags): Omit<Attachment, 'network'> {
  const [ipv4, ipv6] = [flags.text('ip'), flags.text('ip6')]
  if (ipv4 !== null && !isIPv4(ipv4)) throw wrong('--ip', 'an IPv4 address', ipv4)
  const six = ipv6 === null ? null : parseIpv6(ipv6)
  if (ipv6 !== null && six === null) throw wrong('--ip6', 'an IPv6 address', ipv6)
  const aliases = [...new Set(flags.list('alias'))].sort()
  const bad = aliases.find((alias) => !NAME.test(alias))
  if (bad !== undefined) throw wrong('--alias', 'a name', bad)
  return { aliases, ipv4, ...(six === null ? {} : { ipv6: formatIpv6(six) }) }
}

const wrong = (option: string, wanted: string, got: string): PakError =>
  new PakError('usage', `option \`${option}\`: expected ${wanted}, got \`${withoutControl(got)}\``)

/** A container by its name, of this folder's project before those of others, and a network as it would call it. */
async function meant(
  { globals, interrupts }: Invocation,
  words: { readonly network: string; readonly container: string },
) {
  const agent = await openAgent(globals, interrupts.signal)
  const here = await projectHere(globals).catch(() => null)
  const all = await agent.inspectAll()
  const project = projectOf(all, here, words.container)
  return { agent, project, called: calledFrom(all, project, words.network) }
}

function projectOf(all: readonly ObservedState[], here: string | null, container: string): string {
  const having = all
    .filter(({ containers }) => containers.some(({ name }) => name === container))
    .map(({ project }) => project)
  const [first, second] = having
  if (here !== null && having.includes(here)) return here
  if (first !== undefined && second === undefined) return first
  const name = withoutControl(container)
  if (first !== undefined)
    throw new PakError('conflict', `container \`${name}\`: ${having.join(' and ')} have one`, {
      hint: 'say whose with -p PROJECT',
    })
  const replicas = all
    .filter(({ project }) => project === here)
    .flatMap(({ containers }) =>
      containers.flatMap((one) => (one.service === container ? one.name : [])),
    )
  throw new PakError('not_found', `container \`${name}\`: there is none`, {
    hint:
      replicas.length > 0 ? `${name} is a service: ${replicas.join(', ')}` : 'pak ps -a lists them',
  })
}

/** The project's own come before those made by hand; any other is `PROJECT/NETWORK`. */
function calledFrom(all: readonly ObservedState[], project: string, word: string): string {
  if (isForeign(word)) {
    const { owner, name } = placeOf(SHARED, word)
    return owner === project ? name : word
  }
  const own = all.find((state) => state.project === project)?.networks ?? []
  return own.some(({ spec }) => spec.name === word)
    ? word
    : foreignName({ owner: SHARED, name: word })
}
