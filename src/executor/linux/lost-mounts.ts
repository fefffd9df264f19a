import type { ContainerSpec } from '../../model/desired.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord, Run } from './records.ts'

/** What a run had mounted when it was first looked at. */
export interface MountBaseline {
  readonly startTicks: string
  /** Id of the mount that is the root; another one means that the process has changed its root. */
  readonly rootId: string
  readonly points: ReadonlyMap<string, string>
  /** The table as it was when nothing was lost: most looks find it unchanged, and need not read it in full. */
  readonly text: string
}

/**
 * Mounts of a running container that are gone. What should be there is what was there at the first look
 * at this run: an image's links decide where a declared target really is. Who may mount does so with
 * pak's blessing, and below a bind that follows its source things may come and go.
 */
export function lostMounts(host: LinuxHost, record: ContainerRecord, run: Run): readonly string[] {
  const { spec } = record
  const text = mayDo(spec, 'SYS_ADMIN') ? null : host.kernel.readNow(`/proc/${run.pid}/mountinfo`)
  if (text === null) return []
  const known = host.mountBaselines.get(record.id)
  if (known?.startTicks === run.startTicks && known.text === text) return []
  const now = mountsOf(text, run)
  if (now === null) return []
  if (known?.startTicks !== run.startTicks) {
    host.mountBaselines.set(record.id, now)
    return []
  }
  if (known.rootId !== now.rootId) return []
  const following = spec.mounts.flatMap((mount) =>
    mount.kind === 'bind' && !mount.propagation.endsWith('private') ? [`${mount.target}/`] : [],
  )
  return [...known.points]
    .filter(([point]) => !now.points.has(point) && !following.some((top) => point.startsWith(top)))
    .map(([point, type]) => `${type} ${point} was unmounted`)
}

/** Whether the container was given a capability that Docker's default set does not have. */
export const mayDo = (
  { privileged, capAdd }: Pick<ContainerSpec, 'privileged' | 'capAdd'>,
  capability: string,
): boolean =>
  privileged || capAdd.some((name) => [capability, 'ALL'].includes(name.replace(/^CAP_/, '')))

/** proc_pid_mountinfo(5) */
function mountsOf(text: string, { startTicks }: Run): MountBaseline | null {
  const points = new Map<string, string>()
  let rootId = ''
  for (const line of text.trimEnd().split('\n')) {
    const [id = '', , , , point = ''] = line.split(' ', 5)
    const type = line.slice(line.indexOf(' - ') + 3).split(' ', 1)[0] ?? ''
    if (point === '/') rootId = id
    points.set(point, type)
  }
  return rootId === '' ? null : { startTicks, rootId, points, text }
}
