import { join } from 'node:path'
import type { Kernel } from '../../kernel/kernel.ts'
import { isOneOff } from '../../model/one-off.ts'
import { livingMonitor } from '../../runtime/monitor-process.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'

/** The pid of a monitor of this run root that lives: its mount namespace holds the mounts. */
export async function anyMonitor(kernel: Kernel, runRoot: string): Promise<number | null> {
  const folder = join(runRoot, 'containers')
  for (const id of await kernel.list(folder)) {
    const pid = livingMonitor(kernel, { bundle: join(folder, id), id })
    if (pid !== null) return pid
  }
  return null
}

type Host = Pick<LinuxHost, 'layout'> & { readonly kernel: Pick<Kernel, 'readNow'> }

/** The pid of the monitor of what runs under one; `null`: it is gone, or somebody's `pak run` stands in for it. */
export const monitorOf = (
  { kernel, layout }: Host,
  { id, spec }: Pick<ContainerRecord, 'id' | 'spec'>,
): number | null =>
  isOneOff(spec) ? null : livingMonitor(kernel, { bundle: layout.bundle(id), id })

/** Nobody reads what a container without its monitor writes, nor hears how it ends. */
export const lostMonitor = (host: Host, record: ContainerRecord): readonly string[] =>
  isOneOff(record.spec) || monitorOf(host, record) !== null
    ? []
    : ['its monitor was gone, and with it what it wrote']
