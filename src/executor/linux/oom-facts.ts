import { uptime } from 'node:os'
import { type KernelMessage, readKernelLog } from '../../kernel/kernel-log.ts'
import { withoutControl } from '../../model/text.ts'
import type { LinuxHost } from './host.ts'

/** What is known of a kill for memory. */
export interface OomFacts {
  /** Bytes; `null`: the cgroup is gone. */
  readonly peakBytes: number | null
  readonly limitBytes: number | null
  readonly process: { readonly name: string; readonly pid: number } | null
}

/** The kernel's clock and the wall clock may have drifted apart so far. */
const SLACK_MS = 2000

/** Of the last kill in a container's cgroup since its start; before the OCI runtime deletes the cgroup. */
export function oomFacts(host: LinuxHost, cgroup: string, startedAt: string): OomFacts {
  const usage = host.cgroups.usage(cgroup)
  const bootMs = Date.now() - uptime() * 1000
  const sinceUsec = (Date.parse(startedAt) - bootMs - SLACK_MS) * 1000
  const messages = readKernelLog((text) => text.startsWith('oom-kill:'))
  return {
    peakBytes: usage?.memoryPeakBytes ?? null,
    limitBytes: usage?.memoryLimitBytes ?? null,
    process: culpritOf(messages, { cgroup, sinceUsec }),
  }
}

/**
 * Whom the kernel chose last in this cgroup or below. Source of the line: dump_oom_victim() in
 * mm/oom_kill.c. A process's name is its own choice, and may hold commas.
 */
export function culpritOf(
  messages: readonly KernelMessage[],
  { cgroup, sinceUsec }: { readonly cgroup: string; readonly sinceUsec: number },
): OomFacts['process'] {
  for (const { usec, text } of [...messages].reverse()) {
    if (usec < sinceUsec) break
    const found = /,task_memcg=(.*?),task=(.*),pid=(\d+),uid=\d+\s*$/.exec(text)
    const [, memcg = '', name = '', pid = ''] = found ?? []
    if (`${memcg}/`.includes(`/${cgroup.replace(/^\/+/, '')}/`))
      return { name: withoutControl(name).slice(0, 64), pid: Number(pid) }
  }
  return null
}
