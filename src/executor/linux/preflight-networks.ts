import { PakError } from '../../errors.ts'
import { calledBy, foreignName, isForeign, placeOf, SHARED } from '../../model/shared.ts'
import { underlayOf } from '../../network/vxlan.ts'
import type { PreflightRequest } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import { guestsOf } from './joined.ts'
import { noSuchPeer } from './tunnels.ts'
import { wireguardObstacle } from './wireguard.ts'

/** Networks of others that the file names, and that are not there or not for everybody. */
export function missingNetworks(
  host: LinuxHost,
  { steps }: Pick<PreflightRequest, 'steps'>,
): readonly PakError[] {
  const called = steps.flatMap((step) =>
    step.op === 'container.create'
      ? step.args.spec.networks.map(({ network }) => network)
      : step.op === 'container.connect'
        ? step.args.attachment.network
        : [],
  )
  return [...new Set(called.filter(isForeign))].flatMap((name) => refusalOf(host, name) ?? [])
}

/** Why containers of other projects cannot join this network of `PROJECT/NETWORK`; `null`: they can. */
export function refusalOf(host: LinuxHost, called: string): PakError | null {
  const { owner, name } = placeOf(SHARED, called)
  const record = host.records.peek(owner)?.networks.get(name)
  if (record === undefined)
    return new PakError('not_found', `network \`${calledBy(called)}\`: there is none`, {
      hint: missingHint(host, { owner, name }),
    })
  if (owner === SHARED || record.spec.attachable === true) return null
  return new PakError('conflict', `network \`${called}\`: it is for project ${owner} alone`, {
    hint: `say \`attachable: true\` of it in the file of ${owner}`,
  })
}

function missingHint(
  host: LinuxHost,
  { owner, name }: { readonly owner: string; readonly name: string },
): string {
  if (owner !== SHARED) return `pak up of project ${owner} makes its networks`
  const meant = host.records
    .loaded()
    .flatMap((project) =>
      [...project.networks.keys()].map((network) => ({ owner: project.name, name: network })),
    )
    // As Compose calls them.
    .find((place) => `${place.owner}_${place.name}` === name)
  if (meant !== undefined)
    return `network ${meant.name} of project ${meant.owner} is \`${foreignName(meant)}\``
  return `pak network create ${name} makes it`
}

/** Networks that span machines: this one must be the peer that it is said to be. */
export async function missingTunnels(
  host: LinuxHost,
  { steps }: Pick<PreflightRequest, 'steps'>,
): Promise<readonly PakError[]> {
  const wanted = steps.flatMap((step) => (step.op === 'network.create' ? [step.args.network] : []))
  const found = await Promise.all(
    wanted.map(async (network) => {
      const { name, overlay } = network
      if (overlay === undefined) return []
      const obstacle = await wireguardObstacle(host, network)
      if (obstacle !== null) return [obstacle]
      const own = overlay.peers.find((peer) => peer.name === overlay.host)
      const { address = '' } = own ?? {}
      return (await underlayOf(host.kernel, address)) === null ? [noSuchPeer(name, address)] : []
    }),
  )
  return found.flat()
}

/** Links that have the name of a bridge that is to be made, and that pak has not made for this project. */
export async function foreignBridges(
  host: LinuxHost,
  { steps, observed }: Pick<PreflightRequest, 'steps' | 'observed'>,
): Promise<readonly PakError[]> {
  const own = new Set(observed.networks.map(({ bridge }) => bridge))
  const wanted = steps.flatMap((step) =>
    step.op === 'network.create' ? (step.args.network.bridge ?? []) : [],
  )
  const found = await Promise.all(
    wanted.map(async (bridge) =>
      own.has(bridge) || !(await host.kernel.exists(`/sys/class/net/${bridge}`))
        ? []
        : new PakError('conflict', `make bridge \`${bridge}\`: there is a link of that name`, {
            hint: 'give it another name, or leave it out and pak picks one',
          }),
    ),
  )
  return found.flat()
}

/** A network goes, or is made anew, only when nobody of another project is on it. */
export function usedNetworks(
  host: LinuxHost,
  { steps, observed }: Pick<PreflightRequest, 'steps' | 'observed'>,
): readonly PakError[] {
  return steps.flatMap((step) => {
    if (step.op !== 'network.remove') return []
    const { network } = step.args
    const guests = guestsOf(host, observed.project, network)
      .filter(({ project }) => project !== observed.project)
      .map(({ project, record }) => `${record.name} of project ${project}`)
    if (guests.length === 0) return []
    return new PakError(
      'conflict',
      `remove network \`${network}\`: ${guests.join(', ')} ${guests.length === 1 ? 'is' : 'are'} on it`,
      { hint: 'take those projects down first' },
    )
  })
}
