import { join } from 'node:path'
import { vethName } from '../../network/bridge.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'

/**
 * Host end of a container's veth. The kernel frees a dead namespace's veth in its own time: the pid in
 * the name keeps a restart from needing the old one.
 */
export const hostEnd = (
  host: Pick<LinuxHost, 'layout'>,
  record: ContainerRecord,
  { network, pid }: { readonly network: string; readonly pid: number },
): string => vethName(host.layout.seed(record.id, network, String(pid)))

/** The host ends of a container's run; its first process, long gone maybe, is in its bundle's pid file. */
export async function hostEnds(host: LinuxHost, record: ContainerRecord): Promise<string[]> {
  const pid = Number(await host.kernel.readText(join(host.layout.bundle(record.id), 'pid')))
  if (!Number.isSafeInteger(pid) || pid < 2) return []
  return Object.keys(record.addresses).map((network) => hostEnd(host, record, { network, pid }))
}
