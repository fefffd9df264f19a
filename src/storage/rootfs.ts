import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { type MountRequest, missing, mountAll, unmountAll } from '../kernel/mount.ts'

export interface RootfsRequest {
  /** Where the root appears; made when it is not there. */
  readonly target: string
  /** Read-only folders, the TOP first: the init layer, then the image's layers or the rootfs folder. */
  readonly lowers: readonly string[]
  /** The container's own folder: `upper` and `work` are, or will be, in it. */
  readonly folder: string
}

/** mount(2): one page, with its NUL. */
const OPTIONS_LIMIT_BYTES = 4095
/**
 * No nodev: daemons that chroot make devices, as on Docker; the device cgroup decides what opens.
 * Redirects and metacopy are xattrs that a hostile folder could bring along: never followed.
 */
const OVERLAY_OPTIONS = 'index=off,metacopy=off,redirect_dir=nofollow'

/**
 * Mount all overlays in one process. One outcome each, in order; one that is mounted already is
 * success. Short names for the batch lie beside the first request's folder for the moment.
 */
export async function mountRootfs(
  kernel: Kernel,
  requests: readonly RootfsRequest[],
  signal?: AbortSignal,
): Promise<readonly (PakError | null)[]> {
  const absent = await withoutRoot(kernel, requests)
  if (absent.length < requests.length) {
    const outcomes = await mountRootfs(kernel, absent, signal)
    return requests.map((request) => outcomes[absent.indexOf(request)] ?? null)
  }
  const [first] = requests
  if (first === undefined) return []
  const folder = join(dirname(first.folder), `mount-${shortName(first.target)}`)
  await kernel.makeFolder(folder, 0o700)
  try {
    const prepared = await Promise.all(requests.map((request) => prepare(kernel, folder, request)))
    const ready = prepared.filter((one): one is MountRequest => !(one instanceof PakError))
    const outcomes = await mountAll(kernel, ready, {
      folder,
      ...(signal === undefined ? {} : { signal }),
    })
    const failures = new Map(ready.map((one, index) => [one, outcomes[index] ?? null]))
    return await Promise.all(
      requests.map((request, index) => {
        const one = prepared[index]
        const outcome = one === undefined || one instanceof PakError ? one : failures.get(one)
        return outcome === undefined || outcome === null ? null : explain(kernel, request, outcome)
      }),
    )
  } finally {
    await kernel.removeTree(folder)
  }
}

/**
 * Unmount in one process, one outcome each; a target that is no mount is success. One that stays busy
 * is detached as a last resort, which frees the name at once and the rest with its last user.
 */
export async function unmountRootfs(
  kernel: Kernel,
  targets: readonly string[],
  signal?: AbortSignal,
): Promise<readonly (PakError | null)[]> {
  return (await unmountAll(kernel, targets, signal)).map(({ error }) => error)
}

/** A root that an earlier run has left is found by a look at the table, and needs nothing else. */
async function withoutRoot(
  kernel: Kernel,
  requests: readonly RootfsRequest[],
): Promise<readonly RootfsRequest[]> {
  const isThere = await Promise.all(requests.map(({ target }) => kernel.exists(target)))
  const asked = requests.filter((_, index) => isThere[index])
  if (asked.length === 0) return requests
  const mounts = new Map(asked.map((one) => [{ type: 'overlay', target: one.target }, one]))
  const absent = await missing(kernel, [...mounts.keys()])
  const kept = new Set([...mounts].filter(([mount]) => !absent.has(mount)).map(([, one]) => one))
  return requests.filter((request) => !kept.has(request))
}

async function prepare(
  kernel: Kernel,
  folder: string,
  { target, lowers, folder: storage }: RootfsRequest,
): Promise<MountRequest | PakError> {
  const upper = join(storage, 'upper')
  const work = join(storage, 'work')
  // The root folder of the container has the upper's mode and owner.
  await kernel.makeFolder(upper, 0o755)
  await kernel.makeFolder(work, 0o700)
  await kernel.makeFolder(target, 0o755)
  const plain = overlayOptions(lowers, upper, work)
  const tooLong = Buffer.byteLength(plain) > OPTIONS_LIMIT_BYTES
  const name = async (path: string) => {
    // Overlayfs and libmount disagree about how `:`, `,`, `\` and quotes are escaped: a path that
    // holds anything unusual goes by a short symlink, which also makes room for hundreds of layers.
    if (!tooLong && /^[\w./-]+$/.test(path)) return path
    const link = shortName(path)
    await linkTo(kernel, path, join(folder, link))
    return link
  }
  const names = await inOrder([...lowers, upper, work], name)
  const options = overlayOptions(names.slice(0, -2), names.at(-2) ?? upper, names.at(-1) ?? work)
  if (Buffer.byteLength(options) > OPTIONS_LIMIT_BYTES)
    return new PakError('storage', `mount \`${target}\`: ${lowers.length} layers are too many`)
  return { source: 'overlay', target, type: 'overlay', options }
}

const overlayOptions = (lowers: readonly string[], upper: string, work: string): string =>
  `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${work},${OVERLAY_OPTIONS}`

async function linkTo(kernel: Kernel, path: string, link: string): Promise<void> {
  const result = await kernel.run('ln', [
    '--symbolic',
    '--force',
    '--no-dereference',
    '--',
    path,
    link,
  ])
  if (result.exitCode !== 0)
    throw new PakError('storage', `link \`${link}\`: ${result.stderr.trim()}`)
}

async function inOrder<T, R>(list: readonly T[], act: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const one of list) results.push(await act(one))
  return results
}

/** The kernel says only `wrong fs type, bad option ...`; a folder that is not there is the usual cause. */
async function explain(
  kernel: Kernel,
  { target, lowers }: RootfsRequest,
  error: PakError,
): Promise<PakError> {
  for (const lower of lowers)
    if ((await kernel.stat(lower))?.kind !== 'folder')
      return new PakError('storage', `mount \`${target}\`: \`${lower}\` is not a folder`, {
        cause: error,
      })
  return error
}

const shortName = (path: string): string =>
  createHash('sha256').update(path).digest('hex').slice(0, 12)
