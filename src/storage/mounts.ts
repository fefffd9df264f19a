import { join } from 'node:path'
import type { ContainerSpec, Mount } from '../model/desired.ts'
import type { ImageConfig } from '../model/image.ts'

type VolumeMount = Extract<Mount, { kind: 'volume' }>
type TmpfsMount = Extract<Mount, { kind: 'tmpfs' }>

/** One entry of `mounts` in the OCI runtime spec. */
export interface ResolvedMount {
  readonly type: 'bind' | 'tmpfs'
  readonly source: string
  readonly destination: string
  readonly options: readonly string[]
}

/** An empty folder in `folder` gets what the root has at `target` before the container starts. */
export interface CopyUp {
  readonly target: string
  readonly folder: string
}

export interface MountsInput {
  readonly spec: Pick<ContainerSpec, 'mounts'>
  readonly image: Pick<ImageConfig, 'volumes'> | null
  /** The folder with the content of a named volume. */
  readonly volumePath: (volumeName: string) => string
  /** The folder of an anonymous volume, in the container's own folder. Counted from 0 in mount order. */
  readonly anonymousPath: (index: number) => string
}

export interface MountPlan {
  /** A parent before what is mounted below it. */
  readonly mounts: readonly ResolvedMount[]
  /** Folders of anonymous volumes, to be made before the start. */
  readonly folders: readonly string[]
  readonly copyUps: readonly CopyUp[]
}

/** The runtime mounts these itself; an image may not put a volume over them. */
const OWN_FOLDERS = ['/dev', '/proc', '/sys']

/**
 * What a container's mounts are for the OCI runtime. Anonymous volumes come from the spec and from
 * the image, unless something else is mounted at the very place.
 */
export function planMounts({ spec, image, ...paths }: MountsInput): MountPlan {
  const taken = new Set(spec.mounts.map(({ target }) => target))
  const fromImage = (image?.volumes ?? [])
    .filter((target) => isVolumeTarget(target) && !taken.has(target))
    .map(
      (target): Mount => ({ kind: 'volume', volume: null, target, readOnly: false, noCopy: false }),
    )
  const all = [...spec.mounts, ...fromImage].sort(byDepth)
  const anonymous = all.filter((mount) => mount.kind === 'volume' && mount.volume === null)
  const folderOf = (mount: VolumeMount): string =>
    mount.volume === null
      ? paths.anonymousPath(anonymous.indexOf(mount))
      : paths.volumePath(mount.volume)
  const volumes = all.filter((mount) => mount.kind === 'volume')
  return {
    mounts: all.map((mount) => ociMount(mount, folderOf)),
    folders: volumes.filter(({ volume }) => volume === null).map(folderOf),
    copyUps: volumes
      .filter(({ noCopy }) => !noCopy)
      .map((mount) => ({ target: mount.target, folder: folderOf(mount) })),
  }
}

function isVolumeTarget(target: string): boolean {
  if (target === '/' || target !== join('/', target)) return false
  return !OWN_FOLDERS.some((own) => target === own || target.startsWith(`${own}/`))
}

const byDepth = (one: Mount, other: Mount): number =>
  compare(one.target.split('/'), other.target.split('/'))

function compare(one: readonly string[], other: readonly string[]): number {
  for (const [index, name] of one.entries()) {
    const against = other[index]
    if (against === undefined) return 1
    if (name !== against) return name < against ? -1 : 1
  }
  return one.length - other.length
}

function ociMount(mount: Mount, folderOf: (mount: VolumeMount) => string): ResolvedMount {
  switch (mount.kind) {
    case 'bind':
      return {
        type: 'bind',
        source: mount.source,
        destination: mount.target,
        options: ['rbind', ...access(mount.readOnly), mount.propagation],
      }
    case 'volume':
      return {
        type: 'bind',
        source: folderOf(mount),
        destination: mount.target,
        options: ['rbind', ...access(mount.readOnly), 'rprivate'],
      }
    case 'tmpfs':
      return {
        type: 'tmpfs',
        source: 'tmpfs',
        destination: mount.target,
        options: tmpfsOptions(mount),
      }
  }
}

/** `rro` (Linux 5.12): what is mounted below the source is read-only as well. */
const access = (readOnly: boolean): readonly string[] => (readOnly ? ['ro', 'rro'] : ['rw'])

/** Docker's defaults. */
function tmpfsOptions(mount: TmpfsMount): readonly string[] {
  return [
    'noexec',
    'nosuid',
    'nodev',
    ...(mount.readOnly ? ['ro'] : []),
    ...(mount.sizeBytes === null ? [] : [`size=${mount.sizeBytes}`]),
    `mode=${(mount.mode ?? 0o1777).toString(8).padStart(4, '0')}`,
  ]
}
