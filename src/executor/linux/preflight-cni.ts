import { PakError } from '../../errors.ts'
import type { CniPlugin } from '../../model/cni.ts'
import type { Network, PublishedPort } from '../../model/desired.ts'
import type { ObservedState } from '../../model/observed.ts'
import type { Step } from '../../model/plan.ts'
import { type Ground, OPEN_GROUND, pluginsReceiver } from '../../model/receiver.ts'
import { hostDoor } from '../../network/cni/door.ts'
import { supportedVersions } from '../../network/cni/version.ts'
import type { PreflightRequest } from '../executor.ts'
import type { LinuxHost } from './host.ts'

/** Programs of plugins that are not here, or do not speak the network's version of the protocol. */
export async function missingPlugins(
  host: LinuxHost,
  { steps }: Pick<PreflightRequest, 'steps'>,
): Promise<readonly PakError[]> {
  const wanted = steps.flatMap((step) => (step.op === 'network.create' ? [step.args.network] : []))
  const found = await Promise.all(
    wanted.map(async (network) => {
      const { cni } = network
      if (cni === undefined) return []
      const types = [...new Set(cni.plugins.flatMap(programsOf))]
      return Promise.all(types.map((type) => obstacleIn(host, network, type)))
    }),
  )
  return found.flat().filter((problem) => problem !== null)
}

function programsOf({ type, config }: CniPlugin): readonly string[] {
  const { ipam } = config
  const delegate =
    typeof ipam === 'object'
      ? Object.entries(ipam ?? {}).find(([key]) => key === 'type')?.[1]
      : null
  return typeof delegate === 'string' && delegate !== '' ? [type, delegate] : [type]
}

async function obstacleIn(
  host: LinuxHost,
  { name, cni }: Network,
  type: string,
): Promise<PakError | null> {
  const { version = '', path = [] } = cni ?? {}
  try {
    const versions = await supportedVersions(hostDoor(host.kernel), { type, version, path })
    if (versions.includes(version)) return null
    const words = `it speaks ${versions.join(', ')}, not ${version}`
    return new PakError('conflict', `network \`${name}\`: cni plugin \`${type}\`: ${words}`, {
      hint: 'say one of these as `cniVersion`',
    })
  } catch (error) {
    if (error instanceof PakError) return error
    throw error
  }
}

/** Host ports that plugins would forward to several containers: each of them takes the port for itself. */
export function sharedPorts({ desired, observed, steps }: PreflightRequest): readonly PakError[] {
  const groundOf = groundAfter(steps, observed)
  return (desired?.services ?? []).flatMap(({ name, replicas, container }) => {
    const network = container.ports.length > 0 ? pluginsReceiver(container, groundOf) : null
    if (replicas < 2 || network === null) return []
    const words = `plugins of network \`${network}\` forward a port to one container, not to ${replicas}`
    return new PakError('conflict', `publish ports of \`${name}\`: ${words}`, {
      hint: 'one replica, or no `ports`',
    })
  })
}

/** What plugins are about to publish for containers that are made now. */
export const pluginPorts = (
  steps: readonly Step[],
  observed: ObservedState,
): readonly (PublishedPort & { readonly container: string })[] => {
  const groundOf = groundAfter(steps, observed)
  return steps.flatMap((step) => {
    if (step.op !== 'container.create') return []
    const { container, spec } = step.args
    if (pluginsReceiver(spec, groundOf) === null) return []
    return spec.ports.map((port) => ({ ...port, container }))
  })
}

function groundAfter(
  steps: readonly Step[],
  { networks }: ObservedState,
): (network: string) => Ground {
  const made = steps.flatMap((step) => (step.op === 'network.create' ? [step.args.network] : []))
  const all = [...networks.map(({ spec }) => spec), ...made]
  const known = new Map(all.map((spec) => [spec.name, spec]))
  return (network) => known.get(network) ?? OPEN_GROUND
}
