import { join } from 'node:path'
import type { RootSource } from '../../model/desired.ts'
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
  const hidden = [host.layout.root, host.layout.runRoot]
  await prepareInitLayer(host.kernel, { folder: host.layout.initLayer, hidden: [] })
  await prepareInitLayer(host.kernel, { folder: host.layout.hostInitLayer, hidden })
  return mountRootfs(host.kernel, await Promise.all(records.map((record) => request(host, record))))
}

async function request(host: LinuxHost, record: ContainerRecord): Promise<RootfsRequest> {
  const layers = await lowers(host, record)
  const target = host.layout.rootfs(record.id)
  return containsState(host, record.spec.source)
    ? {
        target,
        lowers: [host.layout.hostInitLayer, ...layers],
        folder: host.layout.volatileStorage(record.id),
      }
    : { target, lowers: [host.layout.initLayer, ...layers], folder: host.layout.storage(record.id) }
}

async function lowers(host: LinuxHost, record: ContainerRecord): Promise<readonly string[]> {
  if (record.spec.source.kind === 'rootfs') return [record.spec.source.path]
  const facts = await host.images.facts(record.imageDigest ?? record.spec.source.reference)
  return facts.layers
}

/**
 * overlayfs refuses an upper folder below its own lower one (ELOOP, ovl_check_overlapping_layers): a
 * root that contains pak's state gets its writable layer on the agent's private tmpfs instead.
 */
export function containsState(host: LinuxHost, source: RootSource): boolean {
  return source.kind === 'rootfs' && `${host.layout.root}/`.startsWith(join(source.path, '/'))
}
