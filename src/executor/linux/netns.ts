import { join } from 'node:path'
import { isPinned, pinNetns, unpinNetns } from '../../kernel/netns.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'

/**
 * A path that keeps the namespace, in the agent's own mount namespace. When the container's processes are
 * long gone, its interfaces on a LAN are taken out of it, and plugins undo their work inside of it, some of
 * which is nowhere else.
 */
export const netnsPath = ({ layout }: LinuxHost, id: string): string =>
  join(layout.bundle(id), 'netns')

/** Before anything is made in there that has to be undone. */
export const keepNetns = (
  host: LinuxHost,
  { record, pid }: { readonly record: ContainerRecord; readonly pid: number },
): Promise<void> => pinNetns(host.kernel, pid, netnsPath(host, record.id))

/** Not after a reboot, nor in the mount namespace of another agent. */
export const isNetnsKept = (host: LinuxHost, id: string): Promise<boolean> =>
  isPinned(host.kernel, netnsPath(host, id))

export const dropNetns = (host: LinuxHost, ids: readonly string[]): Promise<void> =>
  unpinNetns(
    host.kernel,
    ids.map((id) => netnsPath(host, id)),
  )
