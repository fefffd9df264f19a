import { PakError } from '../../errors.ts'
import { attachmentsOf } from '../../model/attachments.ts'
import type { Network } from '../../model/desired.ts'
import type { ObservedNetwork, ObservedState } from '../../model/observed.ts'
import { foreignName, isForeign, placeOf, SHARED } from '../../model/shared.ts'
import type { Invocation } from '../grammar.ts'
import { projectHere } from '../project.ts'
import { openAgent } from '../session.ts'

/** One object of `pak network inspect`. */
export interface NetworkFacts {
  readonly name: string
  /** `null`: made by hand. */
  readonly project: string | null
  /** As declared; what is not here is as pak picks it. */
  readonly spec: Network
  readonly bridge: string
  readonly subnet: string
  readonly gateway: string
  readonly subnet6: string | null
  readonly gateway6: string | null
  /** What of it is not as pak made it; `null`: nothing. */
  readonly drift: string | null
  /** Of every project. */
  readonly containers: Readonly<Record<string, Place>>
  /** Addresses of services with replicas behind them. */
  readonly services: Readonly<Record<string, string>>
}

interface Place {
  readonly project: string
  readonly ip: string
  readonly ip6: string | null
  readonly aliases: readonly string[]
  /** By `network connect`. */
  readonly byHand: boolean
}

/** `network inspect`: the project's networks, outside of one those made by hand, or only those that are named. */
export async function inspect({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly NetworkFacts[]> {
  const here = words.every(isForeign) && words.length > 0 ? null : await projectHere(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const all = await agent.inspectAll()
  if (words.length === 0) {
    const networks = all.find(({ project }) => project === (here ?? SHARED))?.networks ?? []
    return networks.map((network) => factsOf(all, here ?? SHARED, network))
  }
  return words.map((word) => {
    const found = find(all, here, word)
    if (found !== null) return factsOf(all, found.owner, found.network)
    const where = here === null ? '' : ` in ${here}, nor one made by hand`
    throw new PakError('not_found', `inspect network \`${word}\`: no such network${where}`)
  })
}

/** The project's own comes before one made by hand. */
function find(all: readonly ObservedState[], here: string | null, word: string) {
  const places = isForeign(word)
    ? [placeOf(SHARED, word)]
    : [here, SHARED].flatMap((owner) => (owner === null ? [] : { owner, name: word }))
  for (const { owner, name } of places) {
    const networks = all.find(({ project }) => project === owner)?.networks ?? []
    const network = networks.find(({ spec }) => spec.name === name)
    if (network !== undefined) return { owner, network }
  }
  return null
}

function factsOf(
  all: readonly ObservedState[],
  owner: string,
  network: ObservedNetwork,
): NetworkFacts {
  const { spec, bridge, subnet, gateway, ipv6, drift } = network
  const places = all.flatMap((state) => placesIn(state, { owner, name: spec.name }))
  const names = places.map(([name]) => name)
  const services = all.flatMap((state) => servicesIn(state, { owner, name: spec.name }))
  return {
    name: spec.name,
    project: owner === SHARED ? null : owner,
    spec,
    bridge,
    subnet,
    gateway,
    subnet6: ipv6?.subnet ?? null,
    gateway6: ipv6?.gateway ?? null,
    drift,
    containers: Object.fromEntries(
      places.map(([name, place]) => {
        const twice = names.indexOf(name) !== names.lastIndexOf(name)
        return [twice ? `${place.project}/${name}` : name, place]
      }),
    ),
    services: Object.fromEntries(services),
  }
}

type At = ReturnType<typeof placeOf>

const calledIn = (project: string, at: At): string =>
  project === at.owner ? at.name : foreignName(at)

function placesIn(
  { project, containers }: ObservedState,
  at: At,
): readonly (readonly [string, Place])[] {
  const called = calledIn(project, at)
  return containers.flatMap((container) => {
    const { name, addresses, addresses6, spec, connected = [] } = container
    const ip = addresses[called]
    if (ip === undefined) return []
    const at = attachmentsOf(spec, container).find(({ network }) => network === called)
    const place = {
      project,
      ip,
      ip6: addresses6?.[called] ?? null,
      aliases: at?.aliases ?? [],
      byHand: connected.some(({ network }) => network === called),
    }
    return [[name, place] as const]
  })
}

function servicesIn(
  { project, networks, elsewhere = [] }: ObservedState,
  at: At,
): readonly (readonly [string, string])[] {
  const called = calledIn(project, at)
  const network = [...networks, ...elsewhere].find(({ spec }) => spec.name === called)
  return Object.entries(network?.services ?? {}).map(([service, address]) => [
    project === at.owner ? service : `${project}/${service}`,
    address,
  ])
}
