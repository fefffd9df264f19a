import type { DesiredState, Service } from '../model/desired.ts'
import type { PolicyRule, PolicySide } from '../model/policy.ts'
import { byNearness, foreignName, isForeign, placeOf, SHARED } from '../model/shared.ts'
import { attempt, type Context, complain, Refusal, takeBoolean } from './context.ts'
import { NAME, PROJECT_NAME } from './names.ts'
import { shown } from './problem.ts'
import { child, entriesOf, type Field, textOf } from './tree.ts'

/** A network or volume that the file names and somebody else has. */
export interface External {
  /** In the file. */
  readonly name: string
  /** As `foreignName` has it. */
  readonly target: string
}

export type Kind = 'network' | 'volume'

export const isExternal = (field: Field): boolean => takeBoolean(child(field, 'external'), false)

/** What is somebody else's has only a name here; how it is made is said where it is made. */
export function normalizeExternal(
  context: Context,
  kind: Kind,
  { name, field }: { readonly name: string; readonly field: Field },
): External {
  for (const [key, value] of entriesOf(field))
    if (key !== 'external' && key !== 'name' && !key.startsWith('x-'))
      complain(context, value, new Refusal(`\`${key}\` does not go with \`external: true\``))
  const named = child(field, 'name')
  const make = () => parseTarget(kind, textOf(named) ?? name)
  return { name, target: attempt<string>(context, named ?? field, { make, fallback: name }) }
}

/** Of what is the project's own only pak makes names. */
export function refuseName(context: Context, kind: Kind, field: Field): void {
  const name = child(field, 'name')
  if (name === null) return
  const hint = `the key under \`${kind}s\` is its name`
  complain(context, name, new Refusal('a `name` goes with `external: true`', hint))
}

function parseTarget(kind: Kind, text: string): string {
  const { owner, name } = placeOf(SHARED, text)
  const known = owner === SHARED || PROJECT_NAME.test(owner)
  if (known && NAME.test(name)) return foreignName({ owner, name })
  const theirs = kind === 'network' ? 'an `attachable` network' : 'a volume'
  throw new Refusal(
    `expected \`NAME\` or \`PROJECT/NAME\`, got ${shown(text)}`,
    `NAME is of pak ${kind} create, PROJECT/NAME ${theirs} of another project`,
  )
}

/** By kind: name -> another one. */
export type Renaming = Readonly<Record<Kind, ReadonlyMap<string, string>>>

/** The same service with the networks and volumes that it names by other names, its own networks first. */
export function renamed(service: Service, { network, volume }: Renaming): Service {
  if (network.size + volume.size === 0) return service
  const of = (name: string) => network.get(name) ?? name
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
      mounts: container.mounts.map((mount) =>
        mount.kind === 'volume' && mount.volume !== null
          ? { ...mount, volume: volume.get(mount.volume) ?? mount.volume }
          : mount,
      ),
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

type Entries = Readonly<Record<string, unknown>>

/** As a file has it: services with names of its own for what is others', and what is declared for that. */
export function declaredExternals(desired: DesiredState): {
  readonly services: readonly Service[]
  readonly networks: Entries
  readonly volumes: Entries
} {
  const { services, networks, volumes } = desired
  const renaming: Renaming = {
    network: namesFor(networks, services.flatMap(networksOf)),
    volume: namesFor(volumes, services.flatMap(volumesOf)),
  }
  const entries = (names: ReadonlyMap<string, string>) =>
    Object.fromEntries([...names].map(([target, name]) => [name, externalEntry(target)]))
  return {
    services: services.map((service) => renamed(service, renaming)),
    networks: entries(renaming.network),
    volumes: entries(renaming.volume),
  }
}

const networksOf = ({ container, policies }: Service): readonly string[] => [
  ...container.networks.map(({ network }) => network),
  ...[policies?.ingress, policies?.egress].flatMap(peerNetworks),
]

const volumesOf = ({ container }: Service): readonly string[] =>
  container.mounts.flatMap((mount) => (mount.kind === 'volume' ? (mount.volume ?? []) : []))

/** For each thing of others that is named, a name that a file can have. */
function namesFor(
  own: readonly { readonly name: string }[],
  named: readonly string[],
): ReadonlyMap<string, string> {
  const taken = new Set([...own.map(({ name }) => name), ...named])
  const names = new Map<string, string>()
  for (const target of [...new Set(named.filter(isForeign))].sort()) {
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

/** How such a thing is declared in a file. */
function externalEntry(target: string): Entries {
  const { owner, name } = placeOf(SHARED, target)
  return { external: true, name: owner === SHARED ? name : target }
}
