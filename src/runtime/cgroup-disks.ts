import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { IoLimit } from '../model/limits.ts'

/**
 * The disk that a limit of speed is for, as `major:minor`; the whole disk for a partition, as the kernel
 * takes no other. PakError `host` with the reason why there is none.
 */
export async function diskOf(kernel: Kernel, { kind, path }: IoLimit): Promise<string> {
  const found = kind === 'device' ? await ofDevice(kernel, path) : await ofPath(kernel, path)
  if (!(await kernel.exists(`/sys/dev/block/${found}`)))
    throw refusal(path, `block device ${found} is not known to this host`)
  // The link is followed before the `..`: a partition's folder lies in its disk's.
  const whole = (await kernel.exists(`/sys/dev/block/${found}/partition`))
    ? await kernel.readText(`/sys/dev/block/${found}/../dev`)
    : found
  return whole?.trim() ?? found
}

/** Of each limit, by its path. */
export async function disksOf(
  kernel: Kernel,
  limits: readonly IoLimit[],
): Promise<ReadonlyMap<string, string>> {
  const disks = await Promise.all(limits.map((limit) => diskOf(kernel, limit)))
  return new Map(limits.map(({ path }, index) => [path, disks[index] ?? '']))
}

async function ofDevice(kernel: Kernel, path: string): Promise<string> {
  const facts = await kernel.stat(path)
  if (facts === null) throw refusal(path, 'no such device')
  if (facts.kind !== 'block') throw refusal(path, 'it is not a block device')
  return `${facts.major}:${facts.minor}`
}

/** By the mount table: it also knows what kind of file system has no disk. */
async function ofPath(kernel: Kernel, path: string): Promise<string> {
  if ((await kernel.stat(path)) === null) throw refusal(path, 'no such file or folder')
  const real = await kernel.realPath(path)
  const mount = mountOf(real, (await kernel.readText('/proc/self/mountinfo')) ?? '')
  if (mount === null) throw refusal(path, 'its mount is not to be seen from here')
  if (!mount.device.startsWith('0:')) return mount.device
  // btrfs and its like number their volumes themselves, but name the device.
  const source = mount.source.startsWith('/dev/') ? await kernel.stat(mount.source) : null
  if (source?.kind === 'block') return `${source.major}:${source.minor}`
  throw refusal(path, `it is on ${mount.type}, which has no disk of its own`)
}

interface MountLine {
  readonly device: string
  readonly type: string
  readonly source: string
}

/** The last mount on the longest point that holds the path (proc_pid_mountinfo(5)). */
function mountOf(path: string, mountinfo: string): MountLine | null {
  let best: (MountLine & { readonly length: number }) | null = null
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [, , device = '', , point = ''] = before.split(' ').map(unescaped)
    const [type = '', source = ''] = after.split(' ').map(unescaped)
    const inside = point === '/' || path === point || path.startsWith(`${point}/`)
    if (point === '' || !inside || point.length < (best?.length ?? 0)) continue
    best = { device, type, source, length: point.length }
  }
  return best
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )

const refusal = (path: string, reason: string): PakError =>
  new PakError('host', `limit the disk of \`${path}\`: ${reason}`)
