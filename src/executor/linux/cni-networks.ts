import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { PakError } from '../../errors.ts'
import type { Json } from '../../model/cni.ts'
import type { Network } from '../../model/desired.ts'
import { removeBridges } from '../../network/bridge.ts'
import { collectGarbage } from '../../network/cni/chain.ts'
import { chainOf } from './cni.ts'
import type { LinuxHost } from './host.ts'
import type { NetworkRecord } from './records.ts'

/** A network that plugins make is a record: they make it with its first container. */
export async function createCniNetwork(
  host: LinuxHost,
  project: string,
  spec: Network,
): Promise<void> {
  const known = (await host.records.of(project)).networks.get(spec.name)
  const name = spec.cni?.name ?? ownName(host.layout.seed(project, spec.name))
  const blank = { subnet: '', gateway: '', bridge: '', leases: {} }
  const cni = known?.cni ?? { name, bridges: [], doors: [] }
  await host.records.putNetwork(project, { ...(known ?? blank), spec, cni })
  await collect(host, { spec, cni, ...blank })
}

/**
 * What plugins leave of a network when its last container is gone, where nobody else is on it: bridges, and
 * whatever they say themselves is stale. Throws what a plugin says.
 */
export async function clearCniNetwork(host: LinuxHost, record: NetworkRecord): Promise<void> {
  const { cni, spec } = record
  if (cni === undefined) return
  const [failure] = await collect(host, record)
  if (failure !== undefined) throw failure
  if (networksNamed(host, cni.name).length > 1) return
  const empty: string[] = []
  for (const bridge of cni.bridges)
    if ((await host.kernel.list(`/sys/class/net/${bridge}/brif`)).length === 0) empty.push(bridge)
  await removeBridges(host.kernel, empty)
  if (spec.cni?.name === null) await forgetLeases(host, record)
}

/** Nobody else's: what it leaves in shared places can be told, and is pak's to clear away. */
const ownName = (seed: string): string =>
  `pak-${createHash('sha256').update(seed).digest('hex').slice(0, 12)}`

/** Only of a network whose name is pak's own: with any other, attachments of other runtimes would be stale. */
async function collect(host: LinuxHost, record: NetworkRecord): Promise<readonly PakError[]> {
  const { spec, cni } = record
  if (cni === undefined || spec.cni?.name !== null) return []
  const valid = host.records
    .loaded()
    .flatMap(({ containers }) =>
      [...containers.values()].flatMap(({ id, cni: attached = {} }) =>
        Object.entries(attached).flatMap(([network, { ifname }]) =>
          network === spec.name ? [{ containerID: id, ifname }] : [],
        ),
      ),
    )
  return collectGarbage(chainOf(host, record), valid)
}

const networksNamed = (host: LinuxHost, name: string): readonly NetworkRecord[] =>
  host.records
    .loaded()
    .flatMap(({ networks }) => [...networks.values()].filter(({ cni }) => cni?.name === name))

/** host-local keeps a folder for each network, and in it which address it gave last, for good. */
async function forgetLeases(host: LinuxHost, { spec, cni }: NetworkRecord): Promise<void> {
  for (const { config } of spec.cni?.plugins ?? []) {
    const ipam = config['ipam']
    if (!isObject(ipam) || ipam['type'] !== 'host-local') continue
    const { dataDir } = ipam
    const place = typeof dataDir === 'string' && dataDir !== '' ? dataDir : '/var/lib/cni/networks'
    const folder = join(place, cni?.name ?? '')
    const files = await host.kernel.list(folder)
    if (files.some((file) => file !== 'lock' && !file.startsWith('last_reserved_ip.'))) continue
    await host.kernel.removeTree(...files.map((file) => join(folder, file)))
    await host.kernel.removeFolder(folder)
  }
}

const isObject = (plain: Json | undefined): plain is { readonly [key: string]: Json } =>
  typeof plain === 'object' && plain !== null && !Array.isArray(plain)
