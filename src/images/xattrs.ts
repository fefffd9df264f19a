import { createReadStream, createWriteStream, type Stats } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { invalidImage } from './json.ts'
import type { LayerTree } from './layer-tree.ts'

/** Extended attributes by the path of the file or folder in its layer. */
export type XattrList = Map<string, ReadonlyMap<string, Buffer>>

export interface XattrTarget {
  readonly folder: string
  readonly scratch: string
  readonly xattrs: XattrList
  readonly signal?: AbortSignal
}

const BLOCK = 512
const LIMIT_BYTES = 32 * 1024 * 1024
const TIMEOUT_MS = 30 * 60_000

/**
 * Node has no setxattr(2), and setfattr(1) is rarely installed; GNU tar is everywhere and knows them.
 * One archive with just the files and folders that have any, over what is there already. It gives a file
 * a new inode, so that hard links must be made again.
 */
export async function writeXattrs(
  kernel: Kernel,
  tree: LayerTree,
  { folder, scratch, xattrs, signal }: XattrTarget,
): Promise<void> {
  if (xattrs.size === 0) return
  checkSize(xattrs)
  const archive = join(scratch, 'xattrs.tar')
  await writeArchive(archive, tree, xattrs)
  const flags = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--same-owner']
  const result = await kernel.run(
    'tar',
    ['--extract', `--file=${archive}`, `--directory=${folder}`, '--preserve-permissions', ...flags],
    { timeoutMs: TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) },
  )
  await rm(archive, { force: true })
  // A warning alone is the way tar says that a file system has no such attributes.
  if (result.exitCode !== 0 || result.stderr.includes('xattr'))
    throw new PakError('storage', `set extended attributes: ${result.stderr.trim().slice(0, 500)}`)
}

function checkSize(xattrs: XattrList): void {
  let bytes = 0
  for (const [path, own] of xattrs)
    for (const [name, value] of own) bytes += path.length + name.length + value.length
  if (bytes > LIMIT_BYTES) throw invalidImage('layer', 'has too many extended attributes')
}

async function writeArchive(file: string, tree: LayerTree, xattrs: XattrList): Promise<void> {
  await pipeline(archiveOf(tree, xattrs), createWriteStream(file, { mode: 0o600 }))
}

async function* archiveOf(tree: LayerTree, xattrs: XattrList): AsyncGenerator<Buffer> {
  for (const [path, own] of xattrs) {
    const found = tree.stat(path)
    if (found === null || !(found.isFile() || found.isDirectory())) continue
    const records = paxHeader(path, found, own)
    const sizeBytes = found.isFile() ? found.size : 0
    yield header({ type: 'x', mode: 0o600, sizeBytes: records.length })
    yield* padded([records], records.length)
    yield header({ type: found.isFile() ? '0' : '5', mode: found.mode & 0o7777, sizeBytes })
    if (sizeBytes > 0) yield* padded(createReadStream(tree.at(path)), sizeBytes)
  }
  yield Buffer.alloc(2 * BLOCK)
}

/** The least that ustar asks for; tar-stream cannot write extended headers whose values are bytes. */
function header({
  type,
  mode,
  sizeBytes,
}: {
  type: string
  mode: number
  sizeBytes: number
}): Buffer {
  const block = Buffer.alloc(BLOCK)
  block.write('x', 0)
  block.write(`${mode.toString(8).padStart(7, '0')}\0`, 100)
  // Past 8 GiB the PAX record alone has the size.
  block.write((sizeBytes < 8 ** 11 ? sizeBytes : 0).toString(8).padStart(11, '0'), 124)
  block.write(type, 156)
  block.write('ustar\x0000', 257, 'latin1')
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0`, 148)
  return block
}

async function* padded(
  content: Iterable<Buffer> | AsyncIterable<Buffer>,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  yield* content
  yield Buffer.alloc((BLOCK - (sizeBytes % BLOCK)) % BLOCK)
}

function paxHeader(path: string, found: Stats, own: ReadonlyMap<string, Buffer>): Buffer {
  const records: [string, Buffer][] = [
    ['path', Buffer.from(path === '' ? '.' : path, 'latin1')],
    ['uid', Buffer.from(String(found.uid))],
    ['gid', Buffer.from(String(found.gid))],
    ['mtime', Buffer.from((found.mtimeMs / 1000).toFixed(6))],
    ...(found.isFile() ? [['size', Buffer.from(String(found.size))] as [string, Buffer]] : []),
    ...[...own].map(([name, value]): [string, Buffer] => [`SCHILY.xattr.${name}`, value]),
  ]
  return Buffer.concat(records.map(([key, value]) => paxRecord(key, value)))
}

/** The length counts its own digits (pax(1)). */
function paxRecord(key: string, value: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')])
  let length = body.length + 1
  while (String(length).length + body.length !== length)
    length = String(length).length + body.length
  return Buffer.concat([Buffer.from(String(length)), body])
}
