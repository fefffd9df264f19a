import { dirname, join, relative } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'

export interface InitLayer {
  /** Where the layer is, or will be. On a file system that knows devices. */
  readonly folder: string
  /** Absolute host paths that the layer covers, for example the state root; only below `rootfs`. */
  readonly hidden: readonly string[]
  /** The lower folder in which the hidden paths would show; `/` unless given. */
  readonly rootfs?: string
}

const FOLDERS = ['dev', 'proc', 'sys', 'etc']
const FILES = ['etc/hosts', 'etc/resolv.conf', 'etc/hostname']

/**
 * The top lower folder of every root: what the OCI runtime mounts on is real here, whatever the
 * layers below have there. A hostile rootfs whose `/dev` or `/etc` is a symlink is so covered before
 * the runtime looks. Idempotent.
 *
 * What is hidden is covered by a whiteout (a character device 0:0, the kernel's overlayfs.rst), so
 * that a container on the host's own root never sees pak's state.
 */
export async function prepareInitLayer(
  kernel: Kernel,
  { folder, hidden, rootfs = '/' }: InitLayer,
): Promise<void> {
  await kernel.makeFolder(folder, 0o755)
  for (const name of FOLDERS) await kernel.makeFolder(join(folder, name), 0o755)
  for (const name of FILES)
    if (!(await kernel.exists(join(folder, name))))
      await kernel.replaceFile(join(folder, name), '', 0o644)
  const [root = rootfs, ...paths] =
    hidden.length === 0
      ? []
      : await Promise.all([rootfs, ...hidden].map((path) => kernel.realPath(path)))
  for (const path of paths)
    await hide(kernel, { from: root, to: folder, inside: relative(root, path) })
}

interface Place {
  readonly from: string
  readonly to: string
  readonly inside: string
}

async function hide(kernel: Kernel, place: Place): Promise<void> {
  const { to, inside } = place
  if (inside === '' || inside === '..' || inside.startsWith('../')) return
  await copyFolders(kernel, { ...place, inside: dirname(inside) })
  const whiteout = join(to, inside)
  if (await kernel.exists(whiteout)) return
  await succeed(kernel, 'mknod', ['--mode=0000', '--', whiteout, 'c', '0', '0'])
}

/** The folders on the way keep the mode and owner that they have below: the top folder's are what shows. */
async function copyFolders(kernel: Kernel, { from, to, inside }: Place): Promise<void> {
  if (inside === '.') return
  await copyFolders(kernel, { from, to, inside: dirname(inside) })
  const copy = join(to, inside)
  if (await kernel.exists(copy)) return
  const original = await kernel.stat(join(from, inside))
  await kernel.makeFolder(copy, 0o755)
  if (original === null) return
  await succeed(kernel, 'chown', [`${original.uid}:${original.gid}`, '--', copy])
  await succeed(kernel, 'chmod', [original.mode.toString(8).padStart(4, '0'), '--', copy])
}

async function succeed(kernel: Kernel, file: string, args: readonly string[]): Promise<void> {
  const result = await kernel.run(file, args)
  if (result.exitCode !== 0)
    throw new PakError('storage', `prepare the init layer: ${result.stderr.trim()}`)
}
