import { PakError } from '../errors.ts'
import { attachmentsOf, type Connection } from '../model/attachments.ts'
import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import { calledBy, isForeign } from '../model/shared.ts'
import { planConnection } from '../plan/connect.ts'
import { reachable } from '../plan/networks.ts'
import type { Desk } from './desk.ts'
import { requireDone, resultLine } from './operations.ts'
import { perform } from './work.ts'

export interface ConnectionRequest {
  readonly project: string
  readonly container: string
  /** The network as the container's spec would call it. */
  readonly wanted: Connection
}

/**
 * Put a container on a network, or take it off, at once and until it is made anew.
 * @throws PakError `not_found` for a container or network that is not there, `conflict` where it is so
 * already or cannot be
 */
export function reconnectByHand(desk: Desk, request: ConnectionRequest): Promise<void> {
  const { project, container, wanted } = request
  const { signal } = new AbortController()
  return desk.loop.exclusive(project, async () => {
    const { result } = await perform(desk.shop, {
      project,
      verb: 'action',
      cause: 'connect' in wanted ? 'network connect' : 'network disconnect',
      order: async () => ({
        desired: await desk.shop.kept.read(project),
        decide: (_, observed) => {
          permit(observed, request)
          return planConnection(observed, container, wanted)
        },
        onAccepted: async () => {},
      }),
      signal,
      onPlan: () => {},
      onEvent: () => {},
    })
    requireDone('network', resultLine(result, signal))
  })
}

function permit(observed: ObservedState, { container, wanted }: ConnectionRequest): void {
  const there = observed.containers.find(({ name }) => name === container)
  if (there === undefined)
    throw new PakError('not_found', `container \`${container}\`: there is none`)
  const on = attachmentsOf(there.spec, there).map(({ network }) => network)
  refuseCni(observed, container, 'connect' in wanted ? wanted.connect.network : wanted.disconnect)
  if ('connect' in wanted) requireJoinable(observed, there, { wanted: wanted.connect, on })
  else if (!on.includes(wanted.disconnect))
    throw new PakError(
      'not_found',
      `disconnect \`${container}\`: it is not on network \`${calledBy(wanted.disconnect)}\``,
    )
}

/** Only the file says what plugins are told of a container. */
function refuseCni(observed: ObservedState, container: string, wanted: string): void {
  const network = reachable(observed).find(({ spec }) => spec.name === wanted)
  if (network?.spec.cni === undefined) return
  const why = `plugins make network \`${calledBy(wanted)}\``
  throw new PakError('conflict', `reconnect \`${container}\`: ${why}`, {
    hint: 'say in the file which containers are on it',
  })
}

function requireJoinable(
  observed: ObservedState,
  { name, spec }: ObservedContainer,
  {
    wanted,
    on,
  }: {
    readonly wanted: Extract<Connection, { connect: unknown }>['connect']
    readonly on: readonly string[]
  },
): void {
  const called = calledBy(wanted.network)
  const refuse = (why: string) => new PakError('conflict', `connect \`${name}\`: ${why}`)
  if (spec.networkMode.kind !== 'bridge')
    throw refuse(`its network_mode is \`${spec.networkMode.kind}\``)
  if (on.includes(wanted.network)) throw refuse(`it is on network \`${called}\` already`)
  const network = reachable(observed).find((known) => known.spec.name === wanted.network)
  // Of those of others the preflight knows why not.
  if (network === undefined && isForeign(wanted.network)) return
  if (network === undefined)
    throw new PakError('not_found', `connect \`${name}\`: no network \`${called}\``)
  if (wanted.ipv6 !== undefined && network.ipv6 === undefined)
    throw refuse(`network \`${called}\` has no IPv6`)
}
