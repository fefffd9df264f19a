import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { busyboxRootfs, lacksBusybox } from '../support/busybox.ts'
import { type PakResult, type PakSandbox, pakSandbox } from '../support/pak.ts'
import { hostLacks } from '../support/skip.ts'

/** A reason why containers of busybox cannot run here, or `null`. */
export const lacksContainers = (): string | null =>
  lacksBusybox() ?? hostLacks('crun', 'conmon', 'nft', 'ip')

/** A sandbox whose folder holds `rootfs` with busybox, and a `pak.yaml` of these services (YAML, not indented). */
export async function labWith(project: string, services: string): Promise<PakSandbox> {
  const sandbox = await pakSandbox()
  await busyboxRootfs(join(sandbox.folder, 'rootfs'))
  await writeProject(sandbox, project, services)
  return sandbox
}

export function writeProject(
  sandbox: PakSandbox,
  project: string,
  services: string,
): Promise<string> {
  const indented = services.trimEnd().replaceAll(/^(?=.)/gm, '  ')
  return sandbox.write('pak.yaml', `name: ${project}\ncontainers:\n${indented}\n`)
}

/** What `sh -c script` says in a service's container, whatever its exit status. */
export const inside = (sandbox: PakSandbox, service: string, script: string): Promise<PakResult> =>
  sandbox.run(['exec', service, 'sh', '-c', script])

/** Its output, trimmed; an exit status other than 0 is an error. */
export const tell = async (sandbox: PakSandbox, service: string, script: string): Promise<string> =>
  (await sandbox.ok(['exec', service, 'sh', '-c', script])).trim()

export interface Row {
  readonly service: string
  readonly state: string
  readonly pid: number | null
  readonly exitCode: number | null
  readonly oomKilled: boolean
}

/** The only container of a service, as `ps -a` shows it. */
export async function rowOf(sandbox: PakSandbox, service: string): Promise<Row> {
  const rows = await sandbox.json<readonly Row[]>(['ps', '-a'])
  const row = rows.find((one) => one.service === service)
  if (row === undefined) throw new Error(`${service}: no such container`)
  return row
}

/** The host's pid of a service's first process. */
export async function pidOf(sandbox: PakSandbox, service: string): Promise<number> {
  const { pid, state } = await rowOf(sandbox, service)
  if (pid === null) throw new Error(`${service}: ${state}`)
  return pid
}

/** `/sys/fs/cgroup/...` of a process, in the hierarchy of one controller, on v1 and v2. */
export function cgroupOf(pid: number, controller: string): string {
  const rows = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
  const split = rows.map((row) => /^\d+:([^:]*):(.*)$/.exec(row)?.slice(1) ?? [])
  const old = split.find(([names]) => names?.split(',').includes(controller))
  if (old !== undefined) return join('/sys/fs/cgroup', controller, old[1] ?? '')
  const unified = split.find(([names]) => names === '')
  return join('/sys/fs/cgroup', unified?.[1] ?? '')
}

/** Bytes that a container's cgroup holds now. */
export function memoryOf(pid: number): number {
  const folder = cgroupOf(pid, 'memory')
  const file = folder.startsWith('/sys/fs/cgroup/memory/')
    ? 'memory.usage_in_bytes'
    : 'memory.current'
  return Number(readFileSync(join(folder, file), 'utf8'))
}
