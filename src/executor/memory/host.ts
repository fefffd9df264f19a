import { PakError } from '../../errors.ts'
import type { Limits } from '../../model/limits.ts'
import type { ObservedContainer, ObservedNetwork, ObservedVolume } from '../../model/observed.ts'
import type { FirewallArgs } from '../../model/plan.ts'
import { isForeign } from '../../model/shared.ts'
import type { Health } from '../../model/status.ts'

/** A container as the host in memory keeps it; replaced whole at every change. */
export type MemoryContainer = Omit<ObservedContainer, 'addresses'>

/** How containers behave once they are started. */
export interface Behaviour {
  /** RFC 3339. */
  readonly now: () => string
  /** Exit code of what ends by itself at once; `null`: it runs until it is stopped. */
  readonly exits: (container: MemoryContainer) => number | null
  /** What its health check says, where it has one. */
  readonly health: (container: MemoryContainer) => Exclude<Health, null>
}

export interface MemoryProject {
  readonly name: string
  /** `null`: no record. Volumes may outlive it. */
  limits: Limits | null
  /** What somebody else did to its cgroup. */
  drift: readonly string[]
  readonly containers: Map<string, MemoryContainer>
  readonly networks: Map<string, ObservedNetwork>
  readonly volumes: Map<string, ObservedVolume>
  /** network -> container -> address; kept across recreates. */
  readonly leases: Map<string, Map<string, string>>
  firewall: FirewallArgs
}

export const NO_FIREWALL: FirewallArgs = { networks: [], published: [], services: [] }

/** Everything that is on one host in memory. */
export interface MemoryHost {
  readonly projects: Map<string, MemoryProject>
  readonly behaviour: Behaviour
  /** New for each call, the same in each run: 1, 2, 3, ... */
  readonly serial: () => number
}

export function projectOn(host: MemoryHost, name: string): MemoryProject {
  const known = host.projects.get(name)
  if (known !== undefined) return known
  const made: MemoryProject = {
    name,
    limits: null,
    drift: [],
    containers: new Map(),
    networks: new Map(),
    volumes: new Map(),
    leases: new Map(),
    firewall: NO_FIREWALL,
  }
  host.projects.set(name, made)
  return made
}

/**
 * The container's address in a network: its own again, else the one asked for, else the lowest free.
 * Whoever is gone no longer holds one.
 */
export function lease(
  project: MemoryProject,
  container: string,
  to: { readonly network: string; readonly ipv4: string | null },
): void {
  // Whatever others have is taken to be there.
  if (isForeign(to.network)) return
  const network = project.networks.get(to.network)
  if (network === undefined) throw absent('lease an address', `network/${to.network}`)
  const leases = project.leases.get(to.network) ?? new Map<string, string>()
  project.leases.set(to.network, leases)
  const own = leases.get(container)
  if (own !== undefined && (to.ipv4 === null || to.ipv4 === own)) return
  for (const holder of leases.keys()) {
    if (holder !== container && !holder.includes(':') && !project.containers.has(holder))
      leases.delete(holder)
  }
  const taken = new Set([...leases].flatMap(([name, ip]) => (name === container ? [] : [ip])))
  if (to.ipv4 !== null && taken.has(to.ipv4)) {
    throw new PakError('conflict', `lease, \`${to.ipv4}\`: another container has it`)
  }
  if (to.ipv4 !== null) leases.set(container, to.ipv4)
  else leases.set(container, lowestFree(network.subnet, taken))
}

function lowestFree(subnet: string, taken: ReadonlySet<string>): string {
  const base = subnet.split('.').slice(0, 2).join('.')
  for (let host = 2; host < 65_000; host++) {
    const address = `${base}.${host >> 8}.${host & 255}`
    if (!taken.has(address)) return address
  }
  throw new PakError('network', `lease, \`${subnet}\`: no address is left`)
}

/** Change a container's record; it must be there. */
export function change(
  project: MemoryProject,
  name: string,
  to: (container: MemoryContainer) => MemoryContainer,
): MemoryContainer {
  const known = project.containers.get(name)
  if (known === undefined) throw absent('change', name)
  const changed = to(known)
  project.containers.set(name, changed)
  return changed
}

export const absent = (operation: string, object: string): PakError =>
  new PakError('not_found', `${operation}, \`${object}\`: there is no such thing on this host`)

export const isRunning = (container: MemoryContainer | undefined): boolean =>
  container?.status.state === 'running' || container?.status.state === 'paused'
