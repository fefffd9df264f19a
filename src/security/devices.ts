import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Device } from '../model/desired.ts'

/** A device of the host that a container gets, with what it may do with it. */
export interface GrantedDevice {
  /** Absolute path inside the container. */
  readonly path: string
  readonly kind: 'char' | 'block'
  readonly major: number
  readonly minor: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** A subset of `rwm`. */
  readonly permissions: string
}

const MAX_DEVICES = 4096
/** Folders of `/dev` that are file systems of their own, and nodes that every container has its own of. */
const OWN_IN_CONTAINER = new Set([
  'pts',
  'shm',
  'mqueue',
  'hugepages',
  'fd',
  'console',
  'ptmx',
  'tty',
])

/** Looks up the devices that a service asks for; PakError `host` names the one that is not there. */
export async function grantedDevices(
  kernel: Kernel,
  devices: readonly Device[],
): Promise<readonly GrantedDevice[]> {
  const granted = await Promise.all(
    devices.map(async ({ source, target, permissions }) => {
      const found = await deviceAt(kernel, source, { target, permissions })
      if (found === null) throw new PakError('host', `give device \`${source}\`: no such device`)
      return found
    }),
  )
  return granted.flat()
}

/** Every device of the host, for `privileged`. */
export async function allDevices(kernel: Kernel): Promise<readonly GrantedDevice[]> {
  return folderDevices(kernel, '/dev', { target: '/dev', permissions: 'rwm' })
}

interface Grant {
  readonly target: string
  readonly permissions: string
}

async function deviceAt(
  kernel: Kernel,
  source: string,
  grant: Grant,
): Promise<readonly GrantedDevice[] | null> {
  const facts = await kernel.stat(source)
  if (facts?.kind === 'folder') return folderDevices(kernel, source, grant)
  if (facts?.kind !== 'char' && facts?.kind !== 'block') return null
  const { kind, mode, uid, gid, major, minor } = facts
  return [
    { path: grant.target, kind, major, minor, mode, uid, gid, permissions: grant.permissions },
  ]
}

async function folderDevices(
  kernel: Kernel,
  folder: string,
  grant: Grant,
): Promise<readonly GrantedDevice[]> {
  const granted: GrantedDevice[] = []
  for (const name of await kernel.list(folder)) {
    if (folder === '/dev' && OWN_IN_CONTAINER.has(name)) continue
    const source = posix.join(folder, name)
    // A link in /dev may lead anywhere, and round in circles; what it points at is listed by itself.
    if ((await linkTarget(kernel, source)) !== null) continue
    const target = posix.join(grant.target, name)
    granted.push(...((await deviceAt(kernel, source, { ...grant, target })) ?? []))
    if (granted.length > MAX_DEVICES)
      throw new PakError('host', `give devices of \`${folder}\`: more than ${MAX_DEVICES}`)
  }
  return granted
}

async function linkTarget(kernel: Kernel, path: string): Promise<string | null> {
  try {
    return await kernel.readLink(path)
  } catch {
    return null
  }
}
