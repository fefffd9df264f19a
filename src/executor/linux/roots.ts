import { join } from 'node:path'
import { prepareInitLayer } from '../../storage/init-layer.ts'
import { mountRootfs, type RootfsRequest } from '../../storage/rootfs.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'

/** Mount the overlay root of each container, in one go. */
export async function mountRoots(
  host: LinuxHost,
  records: readonly ContainerRecord[],
  _context: RunContext,
): Promise<readonly StepOutcome[]> {
  if (records.length === 0) return []
  await prepareInitLayer(host.kernel, { folder: host.layout.initLayer, hidden: [] })
  const outcomes: RootfsRequest[] = []
  for (const record of records) outcomes.push(await request(host, record))
  return mountRootfs(host.kernel, outcomes)
}

async function request(host: LinuxHost, record: ContainerRecord): Promise<RootfsRequest> {
  const layers = await lowers(host, record)
  const target = host.layout.rootfs(record.id)
  const { source } = record.spec
  const hidden = source.kind === 'rootfs' ? await stateBelow(host, source.path) : []
  if (source.kind !== 'rootfs' || hidden.length === 0)
    return {
      target,
      lowers: [host.layout.initLayer, ...layers],
      folder: host.layout.storage(record.id),
    }
  const folder = host.layout.hostInitLayer(source.path)
  await prepareInitLayer(host.kernel, { folder, hidden, rootfs: source.path })
  return { target, lowers: [folder, ...layers], folder: host.layout.volatileStorage(record.id) }
}

async function lowers(host: LinuxHost, record: ContainerRecord): Promise<readonly string[]> {
  if (record.spec.source.kind === 'rootfs') return [record.spec.source.path]
  const facts = await host.images.facts(record.imageDigest ?? record.spec.source.reference)
  return facts.layers
}

/**
 * pak's own folders below a root. overlayfs refuses an upper folder below its own lower one (ELOOP,
 * ovl_check_overlapping_layers): such a root gets its writable layer on the agent's private tmpfs, and an
 * init layer that hides the state.
 */
async function stateBelow(host: LinuxHost, rootfs: string): Promise<readonly string[]> {
  const { root, runRoot } = host.layout
  const [real = rootfs, ...state] = await Promise.all(
    [rootfs, root, runRoot].map((path) => host.kernel.realPath(path)),
  )
  return state.filter((path) => path.startsWith(join(real, '/')))
}
