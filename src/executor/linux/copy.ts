import { constants } from 'node:fs'
import {
  chmod,
  type FileHandle,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  symlink,
  unlink,
} from 'node:fs/promises'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { PakError } from '../../errors.ts'
import { archiveParts, shown } from '../../images/layer-tree.ts'
import { readTar, type TarEntry } from '../../images/tar.ts'
import { isAlive } from '../../kernel/process.ts'
import { spawnProgram } from '../../kernel/spawn.ts'
import { findTool } from '../../runtime/oci.ts'
import { below, codeOf, HeldRoot, partsOf, type Stack, topOf } from '../../storage/held.ts'
import { unmountRootfs } from '../../storage/rootfs.ts'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord } from './records.ts'
import { mountRoots } from './roots.ts'
import { currentRun, hasLeftovers, statusOf } from './runs.ts'

export interface CopyPlace {
  readonly project: string
  readonly container: string
  /** In the container, absolute or from its root. */
  readonly path: string
}

const LIMIT_ENTRIES = 5_000_000
const STOPPED_LIMIT_MS = 60_000

/** A tar of one thing in a container; its first name is the thing's own, `.` for `/` and `x/.`. */
export async function copyOut(host: LinuxHost, place: CopyPlace, to: Writable): Promise<void> {
  await inContainer(host, place, async (root) => {
    const parts = partsOf(bytes(place.path))
    const whole = parts.length === 0 || /(^|\/)\.\.?\/?$/.test(place.path)
    const name = whole ? '.' : (parts.at(-1) ?? '.')
    const stack = await root.folder((whole ? parts : parts.slice(0, -1)).join('/'))
    if (stack === null || !(await exists(topOf(stack), name))) throw missing(place)
    await packInto(host, { folder: topOf(stack), name, to })
  })
}

/**
 * Unpack a tar in a container. Where the path is a folder, into it; where it is not, the archive's first
 * name becomes the path's last. Follows links only inside the container's root.
 */
export async function copyIn(host: LinuxHost, place: CopyPlace, from: Readable): Promise<void> {
  await inContainer(host, place, async (root) => {
    const parts = partsOf(bytes(place.path))
    const folder = await root.folder(parts.join('/'))
    const parent = folder ?? (await root.folder(parts.slice(0, -1).join('/')))
    if (parent === null) throw missing(place)
    if (folder === null && place.path.endsWith('/')) throw missing(place)
    const rename = folder === null ? (parts.at(-1) ?? null) : null
    const limits = { entries: LIMIT_ENTRIES }
    await readTar([from], limits, async (entry) => {
      const names = partsIn(entry.name, rename)
      if (names.length > 0) await unpack(root, { base: parent, names, entry, rename })
      await root.keepOnly(parent)
    })
  })
}

function partsIn(name: string, rename: string | null): readonly string[] {
  const parts = archiveParts(name)
  if (rename === null) return parts
  // `./x`: the content of a folder, for a folder that is to be made.
  return /^\.(\/|$)/.test(name) ? [rename, ...parts] : [rename, ...parts.slice(1)]
}

interface Unpacking {
  readonly base: Stack
  readonly names: readonly string[]
  readonly entry: TarEntry
  readonly rename: string | null
}

async function unpack(root: HeldRoot, at: Unpacking): Promise<void> {
  const { base, names, entry } = at
  const name = names.at(-1) ?? ''
  const parent = await root.folder(names.slice(0, -1).join('/'), base)
  if (parent === null)
    throw new PakError('storage', `copy \`${shown(entry.name)}\`: its folder is not there`)
  const folder = topOf(parent)
  const path = below(folder, name)
  if (entry.type === 'directory') {
    if ((await root.folder(name, parent)) !== null) return
    await mkdir(path, entry.mode)
    await owned(path, entry, true)
    return
  }
  if (entry.type === 'file' || entry.type === 'contiguous-file') return putFile(path, entry)
  await removed(path)
  if (entry.type === 'symlink') {
    await symlink(Buffer.from(entry.link, 'latin1'), path)
    await owned(path, entry, false)
  } else if (entry.type === 'link') await putLink(root, at, path)
  else throw new PakError('storage', `copy \`${shown(entry.name)}\`: it is a ${entry.type}`)
}

async function putFile(path: Buffer, entry: TarEntry): Promise<void> {
  await removed(path)
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants
  const file = await open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)
  try {
    for await (const chunk of entry.content) await file.writeFile(chunk)
    await file.chown(entry.uid, entry.gid)
    await file.chmod(entry.mode)
    await file.utimes(entry.mtime, entry.mtime)
  } finally {
    await file.close()
  }
}

async function putLink(root: HeldRoot, at: Unpacking, path: Buffer): Promise<void> {
  const names = partsIn(at.entry.link, at.rename)
  const parent = await root.folder(names.slice(0, -1).join('/'), at.base)
  if (parent === null)
    throw new PakError('storage', `copy \`${shown(at.entry.name)}\`: what it links to is not there`)
  await link(below(topOf(parent), names.at(-1) ?? ''), path)
}

/** The mode after the owner: chown(2) takes set-user-id away. */
async function owned(path: Buffer, entry: TarEntry, folder: boolean): Promise<void> {
  await lchown(path, entry.uid, entry.gid)
  if (folder) await chmod(path, entry.mode)
  await lutimes(path, entry.mtime, entry.mtime)
}

async function removed(path: Buffer): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw asPakError(error)
  }
}

async function exists(folder: FileHandle, name: string): Promise<boolean> {
  try {
    await lstat(below(folder, name))
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** GNU tar goes down from the folder that it inherits, and follows no links by itself. */
async function packInto(
  host: LinuxHost,
  { folder, name, to }: { folder: FileHandle; name: string; to: Writable },
): Promise<void> {
  const file = await findTool(host.kernel, 'tar')
  const target = Buffer.from(name, 'latin1').toString('utf8')
  const args = ['--create', '--file=-', '--directory=/proc/self/fd/3', '--numeric-owner']
  const child = spawnProgram(file, [...args, '--', target], {
    stdio: ['ignore', 'pipe', 'pipe', folder.fd],
    env: { PATH: '/usr/bin:/bin', LANG: 'C', LC_ALL: 'C' },
  })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, 2000)
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  try {
    if (child.stdout !== null) await pipeline(child.stdout, to)
  } finally {
    child.kill()
  }
  const exitCode = await ended
  // 1: something changed while it was read, as things do in what runs.
  if (exitCode !== null && exitCode > 1)
    throw new PakError('storage', `copy \`${name}\`: ${said.trim()}`)
}

/** The root that the container has now: its own view while it runs, its layers while it does not. */
async function inContainer(
  host: LinuxHost,
  place: CopyPlace,
  work: (root: HeldRoot) => Promise<void>,
): Promise<void> {
  const { project, container } = place
  const record = (await host.records.of(project)).containers.get(container)
  if (record === undefined)
    throw new PakError('not_found', `copy, \`${container}\`: no such container`)
  try {
    const run = await currentRun(host, record)
    if (run === null || !(await isAlive(host.kernel, run)))
      return await inStopped(host, { ...place, record }, work)
    await using root = await HeldRoot.open(`/proc/${run.pid}/root`)
    if (!(await isAlive(host.kernel, run)))
      throw new PakError('conflict', `copy, \`${container}\`: it has just ended`)
    await work(root)
  } catch (error) {
    throw asPakError(error)
  }
}

async function inStopped(
  host: LinuxHost,
  { project, record, path }: CopyPlace & { readonly record: ContainerRecord },
  work: (root: HeldRoot) => Promise<void>,
): Promise<void> {
  const hidden = record.spec.mounts.find(({ target }) =>
    `/${partsOf(path).join('/')}/`.startsWith(`${target}/`),
  )
  if (hidden !== undefined)
    throw new PakError(
      'conflict',
      `copy, \`${path}\`: \`${hidden.target}\` is mounted only while it runs`,
      {
        hint: `pak start ${record.service}`,
      },
    )
  const bundle = host.layout.bundle(record.id)
  const { state } = await statusOf(host, project, record)
  if ((await hasLeftovers(host, record)) || state === 'running' || state === 'paused')
    throw new PakError('conflict', `copy, \`${record.name}\`: it is about to start or to end`)
  // The root of who is to run again stays mounted meanwhile.
  const isKept = await host.kernel.exists(bundle)
  const signal = AbortSignal.timeout(STOPPED_LIMIT_MS)
  const [outcome] = await mountRoots(host, [record], { project, signal, concurrency: 1 })
  if (outcome instanceof PakError) throw outcome
  const rootfs = host.layout.rootfs(record.id)
  try {
    await using root = await HeldRoot.open(rootfs)
    await work(root)
  } finally {
    const [left] = isKept ? [] : await unmountRootfs(host.kernel, [rootfs])
    if (left === null) await host.kernel.removeTree(bundle)
  }
}

const bytes = (path: string): string => Buffer.from(path, 'utf8').toString('latin1')

const missing = ({ container, path }: CopyPlace): PakError =>
  new PakError('not_found', `copy, \`${container}:${path}\`: not there`)

function asPakError(error: unknown): unknown {
  if (error instanceof PakError || !(error instanceof Error) || !('errno' in error)) return error
  return new PakError(
    'storage',
    `copy: ${error.message.replaceAll(/\/proc\/self\/fd\/\d+\//g, '')}`,
    {
      cause: error,
    },
  )
}
