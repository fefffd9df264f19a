import type { DesiredState, Service } from '../model/desired.ts'
import type { PolicyRule, PolicySide } from '../model/policy.ts'
import { byNearness, foreignName, isForeign, placeOf, SHARED } from '../model/shared.ts'
import { attempt, type Context, complain, Refusal, takeBoolean } from './context.ts'
import { NAME, PROJECT_NAME } from './names.ts'
import { shown } from './problem.ts'
import { child, entriesOf, type Field, textOf } from './tree.ts'

/** A network that the file names and somebody else has. */
export interface External {
  /** In the file. */
  readonly name: string
  /** As `foreignName` has it. */
  readonly target: string
}

export const isExternal = (field: Field): boolean => takeBoolean(child(field, 'external'), false)

/** What is somebody else's has only a name here; how it is made is said where it is made. */
export function normalizeExternal(context: Context, name: string, field: Field): External {
  for (const [key, value] of entriesOf(field))
    if (key !== 'external' && key !== 'name' && !key.startsWith('x-'))
      complain(context, value, new Refusal(`\`${key}\` does not go with \`external: true\``))
  const named = child(field, 'name')
  const make = () => parseTarget(textOf(named) ?? name)
  return { name, target: attempt<string>(context, named ?? field, { make, fallback: name }) }
}

/** Of what is the project's own only pak makes names. */
export function refuseName(context: Context, field: Field): void {
  const name = child(field, 'name')
  if (name === null) return
  const hint = 'the key under `networks` is its name'
  complain(context, name, new Refusal('a `name` goes with `external: true`', hint))
}

function parseTarget(text: string): string {
  const { owner, name } = placeOf(SHARED, text)
  const known = owner === SHARED || PROJECT_NAME.test(owner)
  if (known && NAME.test(name)) return foreignName({ owner, name })
  throw new Refusal(
    `expected \`NAME\` or \`PROJECT/NAME\`, got ${shown(text)}`,
    'NAME is of pak network create, PROJECT/NAME an `attachable` network of another project',
  )
}

/** The same service with the networks that it names by other names, its own first. */
export function renamed(service: Service, names: ReadonlyMap<string, string>): Service {
  if (names.size === 0) return service
  const of = (network: string) => names.get(network) ?? network
  const { container, policies } = service
  const side = (one: PolicySide | undefined, key: 'ingress' | 'egress') =>
    one === undefined ? {} : { [key]: renamedSide(one, of) }
  return {
    ...service,
    ...(policies === undefined
      ? {}
      : { policies: { ...side(policies.ingress, 'ingress'), ...side(policies.egress, 'egress') } }),
    container: {
      ...container,
      networks: container.networks
        .map((one) => ({ ...one, network: of(one.network) }))
        .sort((a, b) => byNearness(a.network, b.network)),
    },
  }
}

function renamedSide(side: PolicySide, of: (network: string) => string): PolicySide {
  const rule = ({ peers, ports }: PolicyRule): PolicyRule => ({
    ports,
    peers: peers.map((peer) =>
      peer.kind === 'network' ? { ...peer, network: of(peer.network) } : peer,
    ),
  })
  return { ...side, allow: side.allow.map(rule), deny: side.deny.map(rule) }
}

/** For each network of others that services are on, a name that a file can have. */
export function externalNames({ services, networks }: DesiredState): ReadonlyMap<string, string> {
  const taken = new Set([
    ...networks.map(({ name }) => name),
    ...services.flatMap(({ container }) => container.networks.map(({ network }) => network)),
  ])
  const targets = services.flatMap(({ container, policies }) => [
    ...container.networks.map(({ network }) => network),
    ...[policies?.ingress, policies?.egress].flatMap(peerNetworks),
  ])
  const names = new Map<string, string>()
  for (const target of [...new Set(targets.filter(isForeign))].sort()) {
    const { owner, name } = placeOf(SHARED, target)
    let free = taken.has(name) ? `${owner.replace(/^_/, '')}_${name}` : name
    while (taken.has(free)) free = `${free}_`
    taken.add(free)
    names.set(target, free)
  }
  return names
}

const peerNetworks = (side: PolicySide | undefined): readonly string[] =>
  [...(side?.allow ?? []), ...(side?.deny ?? [])].flatMap(({ peers }) =>
    peers.flatMap((peer) => (peer.kind === 'network' ? peer.network : [])),
  )

/** How such a network is declared in a file. */
export function externalEntry(target: string): Readonly<Record<string, unknown>> {
  const { owner, name } = placeOf(SHARED, target)
  return { external: true, name: owner === SHARED ? name : target }
}
