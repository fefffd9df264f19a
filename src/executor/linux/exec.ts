import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { isAlive } from '../../kernel/process.ts'
import { execExitCode, execProcess } from '../../runtime/exec.ts'
import { resolveUser } from '../../runtime/user.ts'
import { securityFragment } from '../../security/fragment.ts'
import type { ExecInvocation, ExecRequest } from '../executor.ts'
import { imageConfig } from './bundle.ts'
import type { LinuxHost } from './host.ts'
import { currentRun } from './runs.ts'

/** How somebody runs a further process in a running container, confined exactly like its first one. */
export const execInvocation = (host: LinuxHost, request: ExecRequest): Promise<ExecInvocation> =>
  invocation(host, request, 'own')

/** The same for a health check or a hook, which nobody counts by itself: it stays in the container's cgroup. */
export const innerInvocation = (host: LinuxHost, request: ExecRequest): Promise<ExecInvocation> =>
  invocation(host, request, "container's")

async function invocation(
  host: LinuxHost,
  request: ExecRequest,
  place: 'own' | "container's",
): Promise<ExecInvocation> {
  const { containers } = await host.records.of(request.project)
  const record = containers.get(request.container)
  const run = record === undefined ? null : await currentRun(host, record)
  if (record === undefined || run === null || !(await isAlive(host.kernel, run)))
    throw new PakError('conflict', `exec in \`${request.container}\`: it is not running`)
  // A process that joins a frozen cgroup would hang, and its caller with it.
  const path = host.layout.cgroup(request.project, record.name)
  if (host.cgroups.isFrozen(path))
    throw new PakError('conflict', `exec in \`${request.container}\`: it is paused`, {
      hint: `pak unpause ${record.service}`,
    })
  const [image, security] = await Promise.all([
    imageConfig(host, record),
    securityFragment(
      request.privileged === true ? { ...record.spec, privileged: true } : record.spec,
      {
        kernel: host.kernel,
        runtime: host.oci.name,
        host: host.security,
      },
    ),
  ])
  const user = await resolveUser(host.kernel, {
    rootfs: host.layout.rootfs(record.id),
    user: request.user ?? record.spec.user ?? image?.user ?? null,
    groupAdd: record.spec.groupAdd,
  })
  const process = execProcess(
    { spec: record.spec, image, name: record.name, user, security },
    request,
  )
  const name = `exec-${host.newId().slice(0, 16)}`
  const scratch = join(host.layout.bundle(record.id), name)
  const own = place === 'own' && host.cgroups.version === 2 && (await host.oci.takesCgroup())
  const exec = { id: record.id, pid: run.pid, process, scratch, cgroup: own ? name : null }
  const how = await host.oci.exec(exec)
  return { ...how, cgroup: own ? await host.cgroups.makeExec(path, name) : null }
}

export interface ExecEnd {
  readonly exitCode: number | null
  /** Number of the signal that ended the runtime itself. */
  readonly signal: number | null
}

/** After a command has ended: its exit status, see `execExitCode`; what `execInvocation` made is removed. */
export async function endExec(
  kernel: Kernel,
  { scratch, cgroup }: ExecInvocation,
  end: ExecEnd,
): Promise<number> {
  const log = await kernel.readText(join(scratch, 'log'))
  await kernel.removeTree(scratch)
  // What the command left running is still in there: then the next `exec` that finds it empty removes it.
  if (cgroup !== null) await kernel.removeFolder(cgroup)
  return execExitCode({ ...end, log })
}
