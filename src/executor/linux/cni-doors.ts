import { ipJson } from '../../kernel/ip.ts'
import type { CniResult } from '../../network/cni/result.ts'
import { syncDoors } from '../../network/firewall-doors.ts'
import { readNetwork } from '../../network/view.ts'
import { doorHeirs, firewallNetwork } from './firewall.ts'
import type { LinuxHost } from './host.ts'
import type { CniDoorRecord, NetworkRecord } from './records.ts'

/**
 * Where pak can answer on a network that plugins made: at a gateway that is this host. `null`: nowhere.
 * Several devices may have its address (`ptp`): then it is the one that came with this container.
 */
export async function doorOf(
  host: LinuxHost,
  { ips, hostLinks }: Pick<CniResult, 'ips' | 'hostLinks'>,
): Promise<CniDoorRecord | null> {
  const own = readNetwork(host.kernel, 'self')?.addresses ?? new Set()
  const gateway = ips.find(({ gateway: at }) => at !== null && own.has(at))?.gateway ?? null
  if (gateway === null) return null
  const found = await ipJson(host.kernel, ['addr', 'show', 'to', `${gateway}/32`])
  const devices = (Array.isArray(found) ? found : []).flatMap(
    ({ ifname }: { readonly ifname?: unknown }) => (typeof ifname === 'string' ? ifname : []),
  )
  const device = devices.find((each) => hostLinks.includes(each)) ?? devices[0]
  return device === undefined ? null : { device, address: gateway }
}

/** With one more, and without those whose device is gone. */
export function withDoor(
  known: readonly CniDoorRecord[],
  door: CniDoorRecord | null,
  links: ReadonlySet<string>,
): readonly CniDoorRecord[] {
  const all = door === null ? known : [...known, door]
  const doors = new Map(
    all
      .filter(({ device }) => links.has(device))
      .map((each) => [`${each.device} ${each.address}`, each]),
  )
  return [...doors].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each)
}

/** Let the name server be asked there. */
export async function openDoors(
  host: LinuxHost,
  project: string,
  network: NetworkRecord,
): Promise<void> {
  const { table } = host.layout
  const heirs = doorHeirs(host, project)
  await syncDoors(host.kernel, { table, project, network: firewallNetwork(network), heirs })
  host.seenTable.forget()
}
