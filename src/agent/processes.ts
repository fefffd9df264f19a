import { join } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'
import { identify, type ProcessIdentity } from '../kernel/process.ts'

/** From a file that anything may have written; `null` when it is not an identity. */
export function parseIdentity(text: string | null): ProcessIdentity | null {
  try {
    const parsed = JSON.parse(text ?? 'null') as { pid?: unknown; startTicks?: unknown } | null
    const { pid, startTicks } = parsed ?? {}
    const isPid = typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 1
    return isPid && typeof startTicks === 'string' ? { pid, startTicks } : null
  } catch {
    return null
  }
}

/** The pid of a container monitor of this run root that lives: its mount namespace holds the mounts. */
export async function liveMonitor(kernel: Kernel, runRoot: string): Promise<number | null> {
  const folder = join(runRoot, 'containers')
  for (const id of await kernel.list(folder)) {
    const pid = Number((await kernel.readText(join(folder, id, 'conmon.pid')))?.trim())
    if (Number.isSafeInteger(pid) && pid > 1 && (await isMonitorOf(kernel, pid, id))) return pid
  }
  return null
}

/** The pid may be a stranger's by now: it counts only when it is conmon and was told this id. */
async function isMonitorOf(kernel: Kernel, pid: number, containerId: string): Promise<boolean> {
  if ((await identify(kernel, pid)) === null) return false
  const [comm, cmdline] = await Promise.all([
    kernel.readText(`/proc/${pid}/comm`).catch(() => null),
    kernel.readText(`/proc/${pid}/cmdline`).catch(() => null),
  ])
  return comm?.trim() === 'conmon' && (cmdline?.split('\0').includes(containerId) ?? false)
}
