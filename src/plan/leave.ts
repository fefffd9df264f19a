import { type Address, networkAddress, projectAddress, replicaAddress } from '../model/address.ts'
import type { ObservedState } from '../model/observed.ts'
import type { FirewallWorks } from './firewall.ts'

/** What is, as if nobody had changed anything at these addresses. */
export function overlooking(observed: ObservedState, leave: ReadonlySet<Address>): ObservedState {
  if (leave.size === 0) return observed
  const { project, record, networks, containers } = observed
  return {
    ...observed,
    record:
      record !== null && leave.has(projectAddress(project)) ? { ...record, drift: [] } : record,
    networks: networks.map((network) =>
      leave.has(networkAddress(network.spec.name)) ? { ...network, drift: null } : network,
    ),
    containers: containers.map((container) =>
      leave.has(replicaAddress(container.service, container.replica))
        ? { ...container, drift: [] }
        : container,
    ),
  }
}

/** The firewall's drift is found by comparing, so it is dropped afterwards. */
export function overlooked(
  works: FirewallWorks,
  { project, leave }: { readonly project: string; readonly leave: ReadonlySet<Address> },
): FirewallWorks {
  const drifted = works.apply?.because.kind === 'drift'
  return drifted && leave.has(projectAddress(project)) ? { ...works, apply: null } : works
}
